"""Colours and styles for light and dark, in one place.

State colours come from a palette that stays apart for colour-blind eyes (blue, bluish green,
vermilion, amber), and no state is shown by colour alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QFont, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication

from app import ui_state
from dafusion_core.domain.errors import EnvironmentProblem
from dafusion_core.resources import resource_path


class Mode(StrEnum):
    """What the user chose in the View menu."""

    SYSTEM = "system"
    LIGHT = "light"
    DARK = "dark"


@dataclass(frozen=True, slots=True)
class Colors:
    """The colours of one scheme, as #rrggbb."""

    window: str
    surface: str
    raised: str
    border: str
    text: str
    muted: str
    accent: str
    on_accent: str
    accent_soft: str
    kept: str
    rejected: str
    running: str
    stale: str
    placeholder: str
    warning_soft: str
    error_soft: str
    control: str


LIGHT = Colors(
    window="#f4f5f7", surface="#ffffff", raised="#e9ecf1", border="#d4d9e1", text="#1b2028",
    muted="#5a6472", accent="#2456b8", on_accent="#ffffff", accent_soft="#dfe8fa",
    kept="#0b7a57", rejected="#bf3f16", running="#2456b8", stale="#8f6200",
    placeholder="#e6e9ee", warning_soft="#fbf0d5", error_soft="#fbe3da", control="#7f8896",
)  # fmt: skip
DARK = Colors(
    window="#191b1f", surface="#22252a", raised="#2e3239", border="#3b4048", text="#e8eaed",
    muted="#a0a9b5", accent="#82aaff", on_accent="#10151f", accent_soft="#2a3853",
    kept="#45c795", rejected="#ff8a5c", running="#82aaff", stale="#e5b84b",
    placeholder="#2b2f36", warning_soft="#3a3220", error_soft="#43281f", control="#747e8c",
)  # fmt: skip


class Theme(QObject):
    """The scheme in force. Painting code reads `theme.colors` each time.

    Signals:
        changed(): colours are different now.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.colors = LIGHT
        self.mode = Mode.SYSTEM

    @property
    def is_dark(self) -> bool:
        """Whether the dark scheme is in force."""
        return self.colors is DARK

    def start(self, app: QApplication) -> None:
        """Apply the stored choice and follow the system from now on."""
        stored = ui_state.load_text("theme", Mode.SYSTEM)
        self.mode = Mode(stored) if stored in set(Mode) else Mode.SYSTEM
        QGuiApplication.styleHints().colorSchemeChanged.connect(self._apply)
        self._apply()

    def choose(self, mode: Mode) -> None:
        """Follow the system, or stay light or dark."""
        self.mode = mode
        ui_state.store_text("theme", mode.value)
        self._apply()

    def _apply(self) -> None:
        app = QApplication.instance()
        if not isinstance(app, QApplication):
            return
        system = QGuiApplication.styleHints().colorScheme()
        is_dark = self.mode is Mode.DARK or (
            self.mode is Mode.SYSTEM and system == Qt.ColorScheme.Dark
        )
        self.colors = DARK if is_dark else LIGHT
        app.setPalette(make_palette(self.colors))
        app.setStyleSheet(style_sheet(self.colors))
        self.changed.emit()


theme = Theme()


def make_palette(colors: Colors) -> QPalette:
    """The Qt palette of a scheme, with readable disabled text."""
    palette = QPalette()
    role = QPalette.ColorRole
    pairs = {
        role.Window: colors.window, role.WindowText: colors.text, role.Base: colors.surface,
        role.AlternateBase: colors.raised, role.Text: colors.text, role.Button: colors.surface,
        role.ButtonText: colors.text, role.BrightText: colors.rejected,
        role.Highlight: colors.accent, role.HighlightedText: colors.on_accent,
        role.ToolTipBase: colors.surface, role.ToolTipText: colors.text,
        role.PlaceholderText: colors.muted, role.Link: colors.accent, role.Mid: colors.border,
        role.Midlight: colors.raised, role.Light: colors.surface, role.Dark: colors.border,
        role.Shadow: colors.border, role.Accent: colors.accent,
    }  # fmt: skip
    for key, value in pairs.items():
        palette.setColor(key, QColor(value))
    for key in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, key, QColor(colors.muted))
    return palette


def scaled_font(font: QFont, factor: float, bold: bool = False) -> QFont:
    """A copy of `font`, larger or smaller, so that the user's own size stays the measure."""
    other = QFont(font)
    if font.pointSizeF() > 0:
        other.setPointSizeF(font.pointSizeF() * factor)
    else:
        other.setPixelSize(round(font.pixelSize() * factor))
    other.setBold(bold)
    return other


def _icons_folder() -> str:
    try:
        return resource_path("icons").as_posix()
    except EnvironmentProblem:
        return "."  # a broken installation still opens, without ticks and arrows


def style_sheet(c: Colors) -> str:
    """Shapes and spacing; plain colours come from the palette."""
    name = "dark" if c is DARK else "light"
    icons = _icons_folder()
    return f"""
    QToolTip {{ background: {c.surface}; color: {c.text}; border: 1px solid {c.border};
        padding: 4px 6px; }}
    QMainWindow::separator {{ width: 1px; height: 1px; background: {c.border}; }}
    #rail, #jobsDock {{ background: {c.surface}; }}
    #rail {{ border-right: 1px solid {c.border}; }}
    #jobsDock {{ border-left: 1px solid {c.border}; }}
    QFrame#card {{ background: {c.surface}; border: 1px solid {c.border}; border-radius: 8px; }}
    QFrame#jobCard {{ background: {c.window}; border: 1px solid {c.border}; border-radius: 8px; }}
    QLabel[role="muted"] {{ color: {c.muted}; }}
    QLabel[role="error"] {{ color: {c.rejected}; }}
    QPushButton {{ background: {c.surface}; color: {c.text}; border: 1px solid {c.border};
        border-radius: 6px; padding: 5px 12px; min-height: 18px; }}
    QPushButton:hover {{ background: {c.raised}; }}
    QPushButton:pressed, QPushButton:checked {{ background: {c.accent_soft};
        border-color: {c.accent}; }}
    QPushButton:focus {{ border: 2px solid {c.accent}; padding: 4px 11px; }}
    QPushButton:disabled {{ color: {c.muted}; background: {c.window}; }}
    QPushButton[role="primary"] {{ background: {c.accent}; color: {c.on_accent};
        border: 1px solid {c.accent}; font-weight: 600; padding: 7px 14px; }}
    QPushButton[role="primary"]:hover {{ border-color: {c.text}; }}
    QPushButton[role="primary"]:focus {{ border: 2px solid {c.text}; padding: 6px 13px; }}
    QPushButton[role="primary"]:disabled {{ background: {c.raised}; color: {c.muted};
        border-color: {c.border}; }}
    QPushButton[role="link"] {{ background: transparent; border: none; color: {c.accent};
        padding: 2px 4px; text-align: left; }}
    QPushButton[role="link"]:disabled {{ color: {c.muted}; background: transparent; }}
    QPushButton[role="link"]:hover {{ text-decoration: underline; }}
    QPushButton[role="link"]:focus {{ border: 1px solid {c.accent}; padding: 1px 3px; }}
    QPushButton[role="small"] {{ padding: 2px 9px; border-radius: 5px; }}
    QPushButton[role="small"]:focus {{ border: 2px solid {c.accent}; padding: 1px 8px; }}
    #segments {{ background: {c.raised}; border-radius: 6px; }}
    QPushButton[role="segment"] {{ background: transparent; border: 1px solid transparent;
        border-radius: 6px; padding: 3px 11px; }}
    QPushButton[role="segment"]:checked {{ background: {c.surface}; border-color: {c.control}; }}
    QPushButton[role="segment"]:focus {{ border-color: {c.accent}; }}
    QPushButton[role="menu"] {{ padding: 3px 24px 3px 9px; border-radius: 5px; }}
    QPushButton[role="menu"]:focus {{ border: 1px solid {c.accent}; padding: 3px 24px 3px 9px; }}
    QPushButton[role="menu"][on="true"] {{ background: {c.accent_soft};
        border-color: {c.accent}; }}
    QPushButton::menu-indicator {{ image: url("{icons}/down-{name}.svg"); width: 11px;
        height: 11px; subcontrol-origin: padding; subcontrol-position: right center;
        right: 7px; }}
    QPushButton[role="menu"][tight="true"] {{ padding: 3px 6px 3px 6px; }}
    QPushButton[role="menu"][tight="true"]::menu-indicator {{ image: none; width: 0px; }}
    QMenu {{ background: {c.surface}; color: {c.text}; border: 1px solid {c.control};
        padding: 4px; }}
    QMenu::item {{ padding: 5px 26px 5px 26px; border-radius: 4px; }}
    QMenu::item:selected {{ background: {c.accent_soft}; color: {c.text}; }}
    QMenu::item:disabled {{ color: {c.muted}; }}
    QMenu::separator {{ height: 1px; background: {c.border}; margin: 4px 8px; }}
    QSlider::groove:horizontal {{ height: 4px; background: {c.border}; border-radius: 2px; }}
    QSlider::sub-page:horizontal {{ background: {c.accent}; border-radius: 2px; }}
    QSlider::handle:horizontal {{ width: 14px; height: 14px; margin: -6px 0; border-radius: 8px;
        background: {c.surface}; border: 1px solid {c.control}; }}
    QSlider::handle:horizontal:hover, QSlider::handle:horizontal:focus {{
        border: 2px solid {c.accent}; }}
    QSlider {{ min-height: 20px; outline: none; }}
    QToolButton {{ color: {c.text}; border: 1px solid transparent; border-radius: 5px;
        padding: 3px 6px; }}
    QToolButton:hover {{ background: {c.raised}; }}
    QToolButton:focus {{ border-color: {c.accent}; }}
    QProgressBar {{ background: {c.raised}; border: none; border-radius: 3px; height: 6px;
        max-height: 6px; }}
    QProgressBar::chunk {{ background: {c.accent}; border-radius: 3px; }}
    QTableView, QListView, QPlainTextEdit {{ background: {c.surface}; color: {c.text};
        border: 1px solid {c.border}; border-radius: 8px; gridline-color: {c.border};
        selection-background-color: {c.accent_soft}; selection-color: {c.text}; }}
    QTableView#plain::item {{ padding: 0 8px; }}
    QTableView#plain {{ outline: none; }}
    QTableView#plain::item:selected {{ background: {c.accent_soft}; color: {c.text}; }}
    QTableView#pictures {{ border: none; border-radius: 0; background: {c.window};
        selection-background-color: transparent; }}
    QHeaderView {{ background: transparent; border: none; }}
    QHeaderView::section {{ background: {c.surface}; color: {c.muted}; border: none;
        border-bottom: 1px solid {c.border}; padding: 6px 11px; }}
    QHeaderView::section:first {{ border-top-left-radius: 7px; }}
    QHeaderView::section:last {{ border-top-right-radius: 7px; }}
    QHeaderView::section:only-one {{ border-top-left-radius: 7px; border-top-right-radius: 7px; }}
    QTableCornerButton::section {{ background: {c.surface}; border: none; }}
    QLineEdit, QComboBox, QAbstractSpinBox {{ background: {c.surface}; color: {c.text};
        border: 1px solid {c.control}; border-radius: 5px; padding: 3px 7px; min-height: 18px;
        selection-background-color: {c.accent}; selection-color: {c.on_accent}; }}
    QLineEdit:focus, QComboBox:focus, QAbstractSpinBox:focus {{ border-color: {c.accent};
        outline: none; }}
    QLineEdit:disabled, QComboBox:disabled, QAbstractSpinBox:disabled {{ color: {c.muted};
        border-color: {c.border}; background: {c.window}; }}
    QComboBox {{ padding-right: 22px; }}
    QComboBox::drop-down {{ border: none; width: 22px; }}
    QComboBox::down-arrow {{ image: url("{icons}/down-{name}.svg"); width: 12px; height: 12px; }}
    QComboBox QAbstractItemView {{ background: {c.surface}; border: 1px solid {c.control};
        selection-background-color: {c.accent_soft}; selection-color: {c.text}; outline: none; }}
    QAbstractSpinBox {{ padding-right: 20px; }}
    QAbstractSpinBox::up-button, QAbstractSpinBox::down-button {{ border: none; width: 18px;
        background: transparent; }}
    QAbstractSpinBox::up-arrow {{ image: url("{icons}/up-{name}.svg"); width: 12px; height: 12px; }}
    QAbstractSpinBox::down-arrow {{ image: url("{icons}/down-{name}.svg"); width: 12px;
        height: 12px; }}
    QAbstractSpinBox QLineEdit {{ border: none; background: transparent; padding: 0;
        min-height: 0; }}
    QCheckBox, QRadioButton {{ spacing: 7px; }}
    QRadioButton::indicator {{ width: 14px; height: 14px; border: 1px solid {c.control};
        border-radius: 8px; background: {c.surface}; }}
    QRadioButton::indicator:checked {{ border: 5px solid {c.accent}; width: 6px; height: 6px; }}
    QRadioButton::indicator:disabled {{ border-color: {c.border}; }}
    QCheckBox::indicator {{ width: 14px; height: 14px; border: 1px solid {c.control};
        border-radius: 4px; background: {c.surface}; }}
    QCheckBox::indicator:checked {{ background: {c.accent}; border-color: {c.accent};
        image: url("{icons}/check-{name}.svg"); }}
    QCheckBox::indicator:focus {{ border: 2px solid {c.accent}; width: 12px; height: 12px; }}
    QCheckBox::indicator:disabled {{ border-color: {c.border}; }}
    QScrollArea {{ border: none; background: transparent; }}
    QScrollArea > QWidget > QWidget {{ background: transparent; }}
    QScrollBar:vertical {{ background: transparent; width: 12px; margin: 0; }}
    QScrollBar:horizontal {{ background: transparent; height: 12px; margin: 0; }}
    QScrollBar::handle {{ background: {c.border}; border-radius: 4px; margin: 2px;
        min-height: 28px; min-width: 28px; }}
    QScrollBar::handle:hover {{ background: {c.muted}; }}
    QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
    QScrollBar::add-page, QScrollBar::sub-page {{ background: transparent; }}
    QMenuBar {{ background: {c.surface}; border-bottom: 1px solid {c.border}; }}
    QStatusBar {{ background: {c.surface}; color: {c.muted}; border-top: 1px solid {c.border}; }}
    QStatusBar::item {{ border: none; }}
    """
