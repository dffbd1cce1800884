//! A device's desktop over RDP: `devstream rdp` with FreeRDP at the laptop, and xrdp behind the device.

use std::fs;

use crate::desktop::{Desktop, PAINTS};
use crate::screen::Screen;
use crate::support::DEVICE;
use crate::support::certificates::Authority;
use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::process::Process;
use crate::support::roles::ThreeMachines;
use crate::support::targets::closed_port;
use crate::{SLOW, serve, tunnel_to};

/// xrdp at a desktop that is there already.
struct Server {
    port: u16,
    process: Process,
    _machine: Machine,
}

impl Server {
    fn start(desktop: &Desktop) -> Self {
        let machine = Machine::new();
        let path = |name: &str| machine.home().join(name);
        let pair = Authority::self_signed(DEVICE);
        fs::write(path("certificate"), pair.certificate).unwrap();
        fs::write(path("key"), pair.key).unwrap();
        let (process, port) = serve("xrdp_listen_pp done", "trans_listen_address failed", |port| {
            fs::write(path("xrdp.ini"), settings(&machine, port, desktop.port)).unwrap();
            let mut server = machine.command("/usr/sbin/xrdp");
            server.args(["--nodaemon", "--config"]).arg(path("xrdp.ini"));
            server
        });
        Self { port, process, _machine: machine }
    }
}

/// `devstream rdp` as typed by who trusts the certificate that the client then shows.
fn start(tunnel: &ThreeMachines, screen: &Screen) -> Process {
    let mut rdp = screen.command(&tunnel.laptop, DEVSTREAM);
    rdp.args(["rdp", "--stream", "target", DEVICE, "/u:na", "/p:na", "/f"]);
    Process::start_with_input(&mut rdp, b"Y\n".to_vec())
}

#[test]
fn devstream_rdp_shows_the_desktop_and_its_updates() {
    let (desktop, screen) = (Desktop::start(), Screen::start());
    let server = Server::start(&desktop);
    let tunnel = tunnel_to(server.port);
    let rdp = start(&tunnel, &screen);
    desktop.wait_shown_on(&screen, &rdp);
    desktop.paint(PAINTS[1]);
    desktop.wait_shown_on(&screen, &rdp);

    drop(desktop);
    let finished = rdp.finish_within(SLOW);
    assert_eq!(finished.code, Some(0), "the desktop's end is no failure: {finished:?}\n{}", server.process);
    let asked = finished.stdout.contains("Certificate details for");
    assert!(asked && !finished.stderr.contains("NAME MISMATCH"), "the certificate has the device's name: {finished:?}");
}

#[test]
fn devstream_rdp_fails_with_its_client_without_a_desktop() {
    let screen = Screen::start();
    let tunnel = tunnel_to(closed_port());
    let finished = start(&tunnel, &screen).finish_within(SLOW);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("failed ("), "{finished:?}");
}

fn settings(machine: &Machine, port: u16, desktop: u16) -> String {
    let home = machine.home().display();
    format!(
        "[Globals]\nini_version=1\nfork=false\nport=tcp://127.0.0.1:{port}\nsecurity_layer=tls\n\
         certificate={home}/certificate\nkey_file={home}/key\nautorun=Desktop\nmax_bpp=32\nallow_channels=true\n\
         [Logging]\nLogFile=/dev/stderr\nLogLevel=INFO\nEnableSyslog=false\n\
         [Channels]\nrdpdr=false\nrdpsnd=false\ndrdynvc=false\n\
         [Desktop]\nname=Desktop\nlib=libvnc.so\nip=127.0.0.1\nport={desktop}\nusername=na\npassword=na\n"
    )
}
