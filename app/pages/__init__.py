"""One folder per step; pages share nothing but the session and widgets."""
