//! A device's desktop: an X server with VNC and something on its screen.

use devstream::net::os::clock;

use crate::screen::{GEOMETRY, Picture, Screen};
use crate::support::machine::Machine;
use crate::support::process::Process;
use crate::{SLOW, run, serve};

/// Colours that no program comes to by itself.
pub(crate) const PAINTS: [u32; 2] = [0x001e_6f5c, 0x0084_3b62];

/// The share of a desktop that its background has at least, and what is in front of it together, in percent.
const BACKGROUND: usize = 60;
const FOREGROUND: usize = 5;

/// A logo in front of a background.
pub(crate) struct Desktop {
    pub(crate) port: u16,
    screen: Screen,
    _logo: Process,
    machine: Machine,
}

impl Desktop {
    /// Painted in the first colour.
    pub(crate) fn start() -> Self {
        let machine = Machine::new();
        let (server, port) = serve("Listening for VNC connections", "already in use", |port| {
            let mut server = machine.command("Xtigervnc");
            server.args(["-displayfd", "1", "-SecurityTypes", "None", "-localhost", "-rfbport", &port.to_string()]);
            server.args(["-geometry", GEOMETRY, "-depth", "24", "-nolisten", "tcp", "-noreset"]);
            server
        });
        let screen = Screen::of(server, machine.clone());
        let logo = Process::start(screen.command(&machine, "xlogo").args(["-geometry", "300x300+350+200"]));
        let desktop = Self { port, screen, _logo: logo, machine };
        desktop.paint(PAINTS[0]);
        desktop
    }

    /// Gives it another background.
    pub(crate) fn paint(&self, colour: u32) {
        let mut paint = self.screen.command(&self.machine, "xsetroot");
        run("the desktop's background", paint.args(["-solid", &format!("#{colour:06x}")]));
        self.wait_until(
            "the device's desktop is not drawn",
            |desktop| is_drawn(desktop, colour),
            |desktop| format!("it has {desktop}\n{}", self.screen),
        );
    }

    /// Waits until this screen, which a client of the desktop has to itself, shows nothing but the desktop.
    pub(crate) fn wait_shown_on(&self, screen: &Screen, client: &Process) {
        let what = "the laptop does not show the device's desktop";
        let is_shown = |desktop: &Picture| {
            assert!(client.is_running(), "{what}, and the client has ended: {client}");
            screen.picture() == *desktop
        };
        self.wait_until(what, is_shown, |desktop| {
            let shown = screen.picture();
            let alike = shown.likeness(desktop);
            format!("{alike}% are alike; the desktop has {desktop}; the laptop {shown}\n{client}\n{screen}")
        });
    }

    /// Polls the desktop until it matches. Each poll runs a program.
    fn wait_until(&self, else_what: &str, is_so: impl Fn(&Picture) -> bool, details: impl Fn(&Picture) -> String) {
        let deadline = clock::now() + SLOW;
        loop {
            let desktop = self.screen.picture();
            if is_so(&desktop) {
                return;
            }
            assert!(clock::now() < deadline, "{else_what}: {}", details(&desktop));
        }
    }
}

/// Mostly its background, and something before it.
fn is_drawn(desktop: &Picture, colour: u32) -> bool {
    (BACKGROUND..=100 - FOREGROUND).contains(&desktop.share(colour))
}
