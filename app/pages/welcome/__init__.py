"""No project open yet."""
