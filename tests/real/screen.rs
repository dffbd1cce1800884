//! X displays in processes of their own, and what is to be seen on them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::process::Command;

use crate::support::machine::Machine;
use crate::support::process::Process;
use crate::{SLOW, end, run};

/// As an X server is told it, and as [`SIZE`] counts it.
pub(crate) const GEOMETRY: &str = "1024x768";
const SIZE: (usize, usize) = (1024, 768);

/// A display; gone with its server.
pub(crate) struct Screen {
    server: Process,
    display: String,
    machine: Machine,
}

impl Screen {
    /// The display.
    pub(crate) fn start() -> Self {
        let machine = Machine::new();
        let mut server = machine.command("Xvfb");
        server.args(["-displayfd", "1", "-screen", "0", &format!("{GEOMETRY}x24"), "-nolisten", "tcp"]);
        Self::of(Process::start(&mut server), machine)
    }

    /// Starts a server that prints the number of its free display.
    pub(crate) fn of(server: Process, machine: Machine) -> Self {
        let number = server.find(0, SLOW, |line| line.parse::<u32>().ok());
        let number = number.unwrap_or_else(|| panic!("the X server does not say its display: {server}"));
        Self { server, display: format!(":{number}"), machine }
    }

    /// A program that draws here, as this machine's user runs it.
    pub(crate) fn command(&self, machine: &Machine, program: &str) -> Command {
        let mut command = machine.command(program);
        command.env("DISPLAY", &self.display);
        command
    }

    /// Takes a picture of the screen.
    pub(crate) fn picture(&self) -> Picture {
        let path = self.machine.home().join("picture");
        let mut xwd = self.command(&self.machine, "xwd");
        run("a picture of the screen", xwd.args(["-root", "-silent", "-out"]).arg(&path));
        Picture::of(&fs::read(&path).expect("xwd has written a picture"))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A server that is killed leaves its socket and its lock behind.
        end(&self.server, "TERM");
    }
}

impl fmt::Display for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.server)
    }
}

/// The colours of a whole screen, as 0xRRGGBB.
#[derive(PartialEq, Eq)]
pub(crate) struct Picture(Vec<u32>);

impl Picture {
    /// Parses xwd's format: 25 numbers, the first the offset of the colour table with 12 bytes each, then pixels.
    fn of(file: &[u8]) -> Self {
        let number = |index: usize| u32::from_be_bytes(file[index * 4..][..4].try_into().unwrap()) as usize;
        let (width, height, bits, line) = (number(4), number(5), number(11), number(12));
        assert_eq!((width, height, bits, number(7)), (SIZE.0, SIZE.1, 32, 0), "not a picture as X servers have here");
        let pixels = &file[number(0) + number(19) * 12..];
        let lines = pixels.chunks(line).take(height).map(|line| line.chunks(4).take(width));
        Self(lines.flatten().map(|pixel| u32::from_le_bytes(pixel.try_into().unwrap()) & 0x00ff_ffff).collect())
    }

    /// Share of pixels with this colour, in percent.
    pub(crate) fn share(&self, colour: u32) -> usize {
        self.0.iter().filter(|pixel| **pixel == colour).count() * 100 / self.0.len()
    }

    /// Share of pixels equal to another picture's, in percent.
    pub(crate) fn likeness(&self, other: &Self) -> usize {
        self.0.iter().zip(&other.0).filter(|(a, b)| a == b).count() * 100 / self.0.len()
    }
}

/// The colours that it has most of.
impl fmt::Display for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut colours = BTreeMap::<u32, usize>::new();
        self.0.iter().for_each(|pixel| *colours.entry(*pixel).or_default() += 1);
        let mut colours: Vec<_> = colours.into_iter().map(|(colour, count)| (count, colour)).collect();
        colours.sort_unstable_by(|a, b| b.cmp(a));
        let colours = colours.iter().take(3).map(|(_, colour)| format!("{}% #{colour:06x}", self.share(*colour)));
        write!(f, "{}", colours.collect::<Vec<_>>().join(", "))
    }
}
