"""Terminals: programs run on them, what they print is recorded, and the recording becomes an SVG that moves by CSS alone."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from html import escape

import pyte

# Seconds: to wait for a text, between two typed characters, and the longest wait that a picture shows.
TIMEOUT, KEY, LONGEST_WAIT = 60, 0.04, 1.6
# Changes within this many seconds are one frame, and the last frame stays this long.
FRAME, LAST = 0.09, 6
# A character in SVG units, the height of a title, and the margins.
WIDTH, HEIGHT, SIZE, TITLE, MARGIN = 8, 18, 13.3, 27, 12
FONT = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace"
# Contrast with the background is at least 7:1, but for what is dim.
BACKGROUND, BAR, TEXT, DIM, CURSOR = "#14171c", "#23282f", "#dfe3e8", "#9aa4b0", "#6b7684"
COLOURS = {
    "red": "#ff8b82", "green": "#7fd88f", "brown": "#ecc16a", "blue": "#86b8ff", "magenta": "#e2a3f2", "cyan": "#74d2dc",
}


class Terminal:
    """A shell on a terminal of its own, whose output is kept with the time of each piece."""

    def __init__(self, title, command, columns, rows, clock):
        self.title, self.columns, self.rows, self.clock = title, columns, rows, clock
        self.pieces, self.text, self.seen = [], "", 0
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        # Without a controlling terminal, which the command takes in its namespace.
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)

    def read(self):
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return
        self.pieces.append((self.clock.now(), data))
        self.text += data.decode(errors="replace")

    def forget(self):
        """Forgets what was printed so far: the picture begins here, with an empty terminal."""
        self.pieces, self.seen = [], len(self.text)

    def found(self, pattern):
        """Returns what a pattern finds in what has been printed since the last time, if anything."""
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", self.text[self.seen:])
        match = re.search(pattern, plain)
        if match:
            self.seen = len(self.text)
        return match


class Clock:
    """Time, and the terminals that are read while it passes."""

    def __init__(self):
        self.start, self.terminals = time.monotonic(), []

    def now(self):
        return time.monotonic() - self.start

    def pass_for(self, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.read(left)

    def read(self, longest):
        by_file = {terminal.master: terminal for terminal in self.terminals if terminal.process.poll() is None}
        for file in select.select(list(by_file), [], [], longest)[0]:
            by_file[file].read()

    def wait(self, terminal, pattern):
        end = time.monotonic() + TIMEOUT
        while not (match := terminal.found(pattern)):
            if time.monotonic() > end:
                raise RuntimeError(f"{terminal.title}: no {pattern!r} in\n{terminal.text}")
            self.read(0.1)
        return match

    def type(self, terminal, line, pattern=None, pasted=""):
        """Types a line, of which one part may be pasted, and waits for a text."""
        for part in [*line, pasted]:
            os.write(terminal.master, part.encode())
            self.pass_for(KEY)
        self.pass_for(0.35)
        terminal.seen = len(terminal.text)
        os.write(terminal.master, b"\r")
        return self.wait(terminal, pattern) if pattern else None


# From pieces to frames.


def shortened(terminals):
    """Returns a function from the recorded time to the shown time, in which no wait is long."""
    times = sorted(at for terminal in terminals for at, _ in terminal.pieces)
    shown, last, table = 0.0, times[0], {}
    for at in times:
        shown += min(at - last, LONGEST_WAIT)
        table[at], last = shown, at
    return table


def runs(screen, number):
    """Returns a row as (column, text, colour, bold) for each run of one style; the cursor is a run of its own."""
    line, found = screen.buffer[number], []
    for column in range(screen.columns):
        char = line[column]
        colour = COLOURS.get(char.fg, TEXT)
        if (number, column) == (screen.cursor.y, screen.cursor.x) and not screen.cursor.hidden:
            colour = CURSOR
        style = (colour, char.bold)
        if found and found[-1][2:] == style and colour != CURSOR:
            found[-1] = (*found[-1][:1], found[-1][1] + char.data, *style)
        else:
            found.append((column, char.data, *style))
    return tuple(run for run in found if run[1].strip() or run[2] == CURSOR)


def frames(terminal, shown):
    """Returns (time, rows) for each change of what is on the screen."""
    screen = pyte.Screen(terminal.columns, terminal.rows)
    stream = pyte.ByteStream(screen)
    found = [(0.0, tuple(() for _ in range(terminal.rows)))]
    for index, (at, data) in enumerate(terminal.pieces):
        stream.feed(data)
        following = terminal.pieces[index + 1][0] if index + 1 < len(terminal.pieces) else None
        if following and shown[following] - shown[at] < FRAME and shown[following] - found[-1][0] < 2 * FRAME:
            continue
        rows = tuple(runs(screen, number) for number in range(terminal.rows))
        if rows != found[-1][1]:
            found.append((shown[at], rows))
    return found


# From frames to SVG.


def row_svg(row):
    """Returns the text of a row: each run as wide as its characters in whichever font there is."""
    parts = []
    for column, text, colour, bold in row:
        if colour == CURSOR:
            parts.append(f'<path fill="{CURSOR}" d="M{column * WIDTH} {5 - HEIGHT}h{WIDTH}v{HEIGHT}h-{WIDTH}z"/>')
            text, colour = text.strip(), TEXT
        style = f' fill="{colour}"' if colour != TEXT else ""
        style += ' font-weight="bold"' if bold else ""
        # Several spaces would become one.
        for words in re.finditer(r"\S+( \S+)*", text):
            x = f' x="{(column + words.start()) * WIDTH}"' if column + words.start() else ""
            length = (words.end() - words.start()) * WIDTH
            parts.append(f'<text{x}{style} textLength="{length}">{escape(words[0], quote=False)}</text>')
    return "".join(parts)


def pane_svg(index, terminal, film, total, top, row_ids):
    """Returns the style and the picture of a pane: its frames below each other, which a window moves over."""
    height = terminal.rows * HEIGHT
    # Apart, so that no descender shows in the next frame.
    stride = height + HEIGHT
    moves = [f"{100 * at / total:.2f}%{{transform:translateY({-number * stride}px)}}" for number, (at, _) in enumerate(film)]
    last = f"translateY({(1 - len(film)) * stride}px)"
    style = f"@keyframes k{index}{{{''.join(moves)}100%{{transform:{last}}}}}"
    style += f".p{index}{{transform:{last};animation:k{index} {total:.2f}s step-end infinite}}"
    strip = []
    for number, (_, rows) in enumerate(film):
        for line, row in enumerate(rows):
            if row:
                name = row_ids.setdefault(row, f"r{len(row_ids):x}")
                strip.append(f'<use href="#{name}" y="{number * stride + (line + 1) * HEIGHT - 5}"/>')
    width = terminal.columns * WIDTH
    bar = f'<path fill="{BAR}" d="M0 {top}h{width + 2 * MARGIN}v{TITLE}H0z"/>'
    bar += f'<text x="{MARGIN}" y="{top + 18}" fill="{DIM}">{escape(terminal.title)}</text>'
    window = f'<svg x="{MARGIN}" y="{top + TITLE + 5}" width="{width}" height="{height}"><g class="p{index}">'
    return style, f"{bar}{window}{''.join(strip)}</g></svg>"


def svg(terminals, description, moving=True):
    """Returns the picture of the terminals below each other: the whole recording, or its end."""
    shown = shortened(terminals)
    total, top, row_ids, styles, panes = max(shown.values()) + LAST, 0, {}, [], []
    for index, terminal in enumerate(terminals):
        film = frames(terminal, shown)
        film = film if moving else [(0.0, film[-1][1])]
        style, pane = pane_svg(index, terminal, film, total, top, row_ids)
        styles.append(style if moving else "")
        panes.append(pane)
        top += TITLE + terminal.rows * HEIGHT + 12
    width = max(terminal.columns for terminal in terminals) * WIDTH + 2 * MARGIN
    rows = "".join(f'<g id="{name}">{row_svg(row)}</g>' for row, name in row_ids.items())
    still = "@media(prefers-reduced-motion:reduce){g{animation:none!important}}" if moving else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" role="img" font-family="{FONT}" '
        f'font-size="{SIZE}" fill="{TEXT}"><title>{escape(description)}</title>'
        f'<style>{"".join(styles)}{still}</style><defs>{rows}</defs>'
        f'<clipPath id="c"><rect width="{width}" height="{top}" rx="8"/></clipPath>'
        f'<g clip-path="url(#c)"><path fill="{BACKGROUND}" d="M0 0h{width}v{top}H0z"/>{"".join(panes)}</g></svg>\n'
    )
