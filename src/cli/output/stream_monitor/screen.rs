//! Where the table is painted: the last lines of a terminal that other programs write to as well, and that changes its
//! size.
//!
//! The cursor rests at the start of the table's first line. Whatever a terminal does to lines when it is resized, wrap them
//! or cut them, the table is then all that is below the cursor; a count of lines would be wrong. What others write goes
//! over the table, which is painted anew below it.
//!
//! tmux counts the empty lines below the cursor when it wraps lines, and moves as many lines from the top to its history as
//! there are more: the table with them, where nothing removes it, if there is little above it. So it is painted in the last
//! lines there.

use std::io;

use console::Term;

/// Turns wrapping off and on again (DECAWM). A terminal that became narrower a moment ago would wrap lines of its former
/// width, and the cursor would not come back to the first one.
const WRAPPING: [&str; 2] = if cfg!(unix) { ["\x1b[?7l", "\x1b[?7h"] } else { ["", ""] };

/// The state of the painted table.
pub(super) struct Screen {
    term: Term,
    /// The table is below the cursor.
    is_painted: bool,
    /// Nothing is painted until [`Screen::resume`].
    is_suspended: bool,
    /// The table begins in the terminal's last lines.
    is_at_bottom: bool,
}

impl Screen {
    pub(super) fn on_stderr() -> Self {
        let is_at_bottom = std::env::var_os("TMUX").is_some();
        Self { term: Term::buffered_stderr(), is_painted: false, is_suspended: false, is_at_bottom }
    }

    /// Paints the lines that `table` returns for the terminal's number of lines. A terminal of another job is left alone.
    pub(super) fn paint(&mut self, table: impl FnOnce(usize) -> Vec<String>) {
        if self.is_suspended || !has_terminal() {
            self.is_painted = false;
            return;
        }
        let (rows, columns) = self.term.size();
        // An error of a terminal cannot be reported on it.
        let _ = self.try_paint(&table(rows.into()), (rows.into(), columns.into()));
    }

    /// Removes the table, and paints none until [`Screen::resume`].
    pub(super) fn suspend(&mut self) {
        self.erase();
        self.is_suspended = true;
    }

    /// Begins anew at the cursor.
    pub(super) fn resume(&mut self) {
        (self.is_painted, self.is_suspended) = (false, false);
    }

    /// Removes the table, and leaves the cursor where its first line was.
    pub(super) fn erase(&mut self) {
        if std::mem::take(&mut self.is_painted) && has_terminal() {
            let _ = self.try_erase();
        }
    }

    /// Never clears from the screen's first line on: that moves all lines to the history of some terminals (tmux).
    fn try_erase(&self) -> io::Result<()> {
        self.term.clear_line()?;
        self.term.move_cursor_down(1)?;
        self.term.clear_to_end_of_screen()?;
        self.term.move_cursor_up(1)?;
        self.term.flush()
    }

    fn try_paint(&mut self, lines: &[String], (rows, columns): (usize, usize)) -> io::Result<()> {
        let Some((last, above)) = lines.split_last() else {
            self.erase();
            return Ok(());
        };
        let was_painted = std::mem::replace(&mut self.is_painted, true);
        self.term.write_str(WRAPPING[0])?;
        if self.is_at_bottom && !was_painted {
            // Room for the table below what is there, and no further than the last line.
            self.term.write_str(&"\r\n".repeat(above.len()))?;
            self.term.move_cursor_down(rows)?;
            self.term.move_cursor_up(above.len())?;
        }
        for line in above {
            self.term.clear_line()?;
            self.term.write_str(&(fit(line, columns) + "\r\n"))?;
        }
        self.term.clear_to_end_of_screen()?;
        self.term.write_str(&fit(last, columns))?;
        self.term.move_cursor_up(above.len())?;
        self.term.write_str("\r")?;
        self.term.write_str(WRAPPING[1])?;
        self.term.flush()
    }
}

/// Cuts a line to less than the columns: after a full one, terminals differ in where the cursor is.
fn fit(line: &str, columns: usize) -> String {
    let room = columns.saturating_sub(1);
    if line.chars().count() <= room {
        return line.to_owned();
    }
    line.chars().take(room.saturating_sub(1)).chain((room > 0).then_some('…')).collect()
}

/// Reports whether this process's job has the terminal. A terminal that is not the session's has no jobs (ENOTTY).
#[cfg(unix)]
fn has_terminal() -> bool {
    rustix::termios::tcgetpgrp(io::stderr()).map_or(true, |foreground| foreground == rustix::process::getpgrp())
}

/// There are no jobs.
#[cfg(not(unix))]
fn has_terminal() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::fit;

    #[test]
    fn a_line_that_is_too_long_is_cut_before_the_last_column() {
        for (columns, cut) in [(5, "⠋ pi"), (4, "⠋ …"), (2, "…"), (1, ""), (0, "")] {
            assert_eq!(fit("⠋ pi", columns), cut, "{columns}");
        }
    }
}
