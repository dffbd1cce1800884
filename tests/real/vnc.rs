//! A device's desktop over VNC: TigerVNC's viewer at the laptop, and its server behind the device.

use crate::desktop::{Desktop, PAINTS};
use crate::screen::Screen;
use crate::support::process::Process;
use crate::tunnel_to;

#[test]
fn a_vnc_viewer_shows_the_desktop_and_its_updates() {
    let (desktop, screen) = (Desktop::start(), Screen::start());
    let tunnel = tunnel_to(desktop.port);
    let mut viewer = screen.command(&tunnel.laptop, "xtigervncviewer");
    viewer.args(["-FullScreen", "-MenuKey=", "-PreferredEncoding=ZRLE", "-AutoSelect=0", "-NoJPEG"]);
    let viewer = Process::start(viewer.arg(format!("127.0.0.1::{}", tunnel.proxy.port)));
    desktop.wait_shown_on(&screen, &viewer);
    desktop.paint(PAINTS[1]);
    desktop.wait_shown_on(&screen, &viewer);
}
