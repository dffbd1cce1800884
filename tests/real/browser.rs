//! A web page: Chromium at the laptop, and a web server behind the device. Six connections at a time, and a stream for
//! each.

use std::fmt::Write as _;
use std::fs;

use crate::support::bytes::Pattern;
use crate::support::machine::Machine;
use crate::support::process::Process;
use crate::{SLOW, run, tunnel_to};

/// Assets of each kind.
const IMAGES: u64 = 20;
const STYLES: u64 = 15;
const SCRIPTS: u64 = 15;

/// The pixels in a line of an image, which is the longer the later it comes: up to a quarter of a megabyte.
const WIDTH: u64 = 256;

/// Nothing of the browser's own on the network, nor of its system's on this machine.
const QUIET: [&str; 15] = [
    "--headless",
    "--dump-dom",
    // Root may not have it, and some kernels allow it nobody.
    "--no-sandbox",
    // Which is small where containers are.
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

/// Text of the page once every asset has been loaded, or has failed to.
const SUMMARY: &str = r#"
let sum = 0x811c9dc5, count = 0;
const add = (bytes) => { for (const byte of bytes) sum = Math.imul(sum ^ byte, 0x01000193) >>> 0; };
const text = (text) => { if (text) count++; add(new TextEncoder().encode(text)); };
addEventListener("load", () => {
    for (const image of document.images) {
        if (!image.naturalWidth) continue;
        count++;
        const [width, height] = [image.naturalWidth, image.naturalHeight];
        const paper = Object.assign(document.createElement("canvas"), { width, height }).getContext("2d");
        paper.drawImage(image, 0, 0);
        add(paper.getImageData(0, 0, width, height).data.filter((_, index) => index % 4 != 3));
    }
    const style = getComputedStyle(document.documentElement);
    for (let index = 0; index < STYLES; index++) text(style.getPropertyValue("--style-" + index).trim());
    for (let index = 0; index < SCRIPTS; index++) text(window["script" + index]);
    document.getElementById("said").textContent = count + " loaded, " + sum;
});"#;

/// A page with assets, and what it says if all have come as they are.
struct Page {
    machine: Machine,
    assets: Vec<String>,
    sum: u32,
}

impl Page {
    fn new() -> Self {
        let mut page = Self { machine: Machine::new(), assets: Vec::new(), sum: 0x811c_9dc5 };
        let mut html = "<!doctype html><meta charset=utf-8>\n".to_owned();
        for index in 0..IMAGES {
            let pixels = Pattern::new(index).prefix(WIDTH * 3 * 16 * (index + 1));
            let name = page.write("image", index, "bmp", &bitmap(&pixels));
            writeln!(html, "<img src={name}>").unwrap();
            page.add(pixels);
        }
        for index in 0..STYLES {
            let text = hexadecimal(1000 + index);
            let name = page.write("style", index, "css", format!(":root {{ --style-{index}: {text} }}").as_bytes());
            writeln!(html, "<link rel=stylesheet href={name}>").unwrap();
            page.add(text.into());
        }
        for index in 0..SCRIPTS {
            let text = hexadecimal(2000 + index);
            let name = page.write("script", index, "js", format!("window.script{index} = '{text}';").as_bytes());
            writeln!(html, "<script src={name}></script>").unwrap();
            page.add(text.into());
        }
        writeln!(html, "<p id=said></p><script>const [STYLES, SCRIPTS] = [{STYLES}, {SCRIPTS}];{SUMMARY}</script>")
            .unwrap();
        fs::write(page.machine.home().join("index.html"), html).unwrap();
        page
    }

    fn write(&mut self, kind: &str, index: u64, ending: &str, content: &[u8]) -> String {
        let name = format!("{kind}-{index}.{ending}");
        fs::write(self.machine.home().join(&name), content).unwrap();
        self.assets.push(name.clone());
        name
    }

    /// Adds bytes to the checksum (FNV-1a).
    fn add(&mut self, bytes: Vec<u8>) {
        self.sum = bytes.iter().fold(self.sum, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    }
}

#[test]
fn a_browser_loads_a_page_with_fifty_assets() {
    let page = Page::new();
    assert_eq!(page.assets.len(), 50);
    let (server, port) = serve(&page.machine);
    let tunnel = tunnel_to(port);
    let mut chromium = tunnel.laptop.command("chromium");
    chromium.args(QUIET).arg(format!("--user-data-dir={}", tunnel.laptop.home().join("chromium").display()));
    let shown = run("the browser", chromium.arg(format!("http://127.0.0.1:{}/", tunnel.proxy.port)));

    let said = shown.split_once("<p id=\"said\">").and_then(|(_, rest)| rest.split('<').next());
    let asked = server.log();
    assert_eq!(
        said,
        Some(format!("50 loaded, {}", page.sum).as_str()),
        "not the page that is served: {shown}\n{asked}"
    );
    for asset in page.assets {
        assert!(asked.contains(&format!("\"GET /{asset} HTTP/1.1\" 200")), "nobody asked for {asset}: {asked}");
    }
}

/// A web server for what is in a home.
fn serve(machine: &Machine) -> (Process, u16) {
    let mut server = machine.command("/usr/bin/python3");
    let server = Process::start(server.args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "0"]));
    let port = server
        .find(0, SLOW, |line| line.strip_prefix("Serving HTTP on 127.0.0.1 port ")?.split(' ').next()?.parse().ok());
    let port = port.unwrap_or_else(|| panic!("the web server does not say its port: {server}"));
    (server, port)
}

/// Pixels of red, green and blue as a file that is not compressed; a negative height says that it begins at the top.
fn bitmap(pixels: &[u8]) -> Vec<u8> {
    let height = pixels.len() as i32 / 3 / WIDTH as i32;
    let mut file = b"BM".to_vec();
    let numbers = [54 + pixels.len() as i32, 0, 54, 40, WIDTH as i32, -height, 1 | 24 << 16, 0, 0, 0, 0, 0, 0];
    file.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    file.extend(pixels.chunks(3).flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]));
    file
}

fn hexadecimal(seed: u64) -> String {
    Pattern::new(seed).prefix(seed).iter().fold(String::from("x"), |text, byte| format!("{text}{byte:02x}"))
}
