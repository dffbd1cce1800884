//! A hand-written WebSocket (RFC 6455 section 5), which can also send malformed frames.

use std::io::{self, Read, Write};
use std::net::Shutdown;

use socket2::SockRef;

use super::raw::Tls;

/// One end of a WebSocket.
pub(crate) struct WebSocket<S = Tls> {
    stream: S,
    /// Set for a client, whose frames are masked. The mask is 0, which leaves the payload unchanged.
    masks: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    Text(String),
    Bytes(Vec<u8>),
    /// Close code and reason; 1005 stands for no code (RFC 6455 section 7.4.1).
    Close(u16, String),
}

pub(crate) const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// A frame that begins with this byte.
pub(crate) fn frame(masked: bool, first: u8, payload: &[u8]) -> Vec<u8> {
    [head(masked, first, payload.len() as u64), payload.to_vec()].concat()
}

/// The header of a frame of this size.
pub(crate) fn head(masked: bool, first: u8, length: u64) -> Vec<u8> {
    let mask = if masked { MASKED } else { 0 };
    let mut head = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..=125), _) => head.push(mask | short),
        (_, Ok(medium)) => {
            head.push(mask | 126);
            head.extend(medium.to_be_bytes());
        }
        _ => {
            head.push(mask | 127);
            head.extend(length.to_be_bytes());
        }
    }
    if masked {
        head.extend([0; 4]);
    }
    head
}

impl WebSocket {
    /// Closes the connection without a WebSocket close.
    pub(crate) fn disconnect(&self) {
        let _ = self.stream.sock.shutdown(Shutdown::Both);
    }

    /// Has the kernel hold little for this end while it does not read.
    pub(crate) fn receive_little(&self) {
        SockRef::from(&self.stream.sock).set_recv_buffer_size(256 * 1024).expect("a socket takes a size");
    }
}

impl<S: Read + Write> WebSocket<S> {
    /// The client's end of an upgraded connection.
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, masks: true }
    }

    /// The server's end of an upgraded connection.
    pub(crate) fn server(stream: S) -> Self {
        Self { stream, masks: false }
    }

    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        self.send(TEXT, text.as_bytes())
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.send(BINARY, bytes)
    }

    pub(crate) fn ping(&mut self) -> io::Result<()> {
        self.send(PING, &[])
    }

    pub(crate) fn close(&mut self, code: u16) -> io::Result<()> {
        self.send(CLOSE, &code.to_be_bytes())
    }

    /// Sends the header of a message of this size, without its payload.
    pub(crate) fn announce(&mut self, length: u64) -> io::Result<()> {
        self.garbage(&head(self.masks, FINAL | BINARY, length))
    }

    /// Sends arbitrary bytes.
    pub(crate) fn garbage(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// The next frame other than a ping or pong.
    pub(crate) fn next(&mut self) -> io::Result<Frame> {
        loop {
            let (opcode, payload) = self.read_frame()?;
            match opcode {
                TEXT => return Ok(Frame::Text(String::from_utf8(payload).expect("text is UTF-8"))),
                BINARY => return Ok(Frame::Bytes(payload)),
                CLOSE => return Ok(closed(&payload)),
                PING => self.send(PONG, &payload)?,
                PONG => {}
                other => panic!("opcode {other}"),
            }
        }
    }

    /// Pings the peer and waits for its pong: it has begun to read.
    pub(crate) fn wait_until_read(&mut self) -> io::Result<()> {
        self.ping()?;
        let (opcode, _) = self.read_frame()?;
        assert_eq!(opcode, PONG, "the first frame");
        Ok(())
    }

    /// The next frame: opcode and payload.
    fn read_frame(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let [first, second] = self.read()?;
        let length = match second & !MASKED {
            126 => u64::from(u16::from_be_bytes(self.read()?)),
            127 => u64::from_be_bytes(self.read()?),
            short => u64::from(short),
        };
        let mask: [u8; 4] = if second & MASKED == 0 { [0; 4] } else { self.read()? };
        let mut payload = vec![0; usize::try_from(length).expect("it fits in memory")];
        self.stream.read_exact(&mut payload)?;
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        Ok((first & !FINAL, payload))
    }

    /// Reads to the end, and returns the close code if there was a close.
    pub(crate) fn end(&mut self) -> Option<u16> {
        loop {
            match self.next() {
                Ok(Frame::Close(code, _)) => return Some(code),
                Ok(Frame::Text(_) | Frame::Bytes(_)) => {}
                Err(error) => {
                    assert!(!matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut), "no end");
                    return None;
                }
            }
        }
    }

    /// Sends every message back, and the close too.
    pub(crate) fn echo(mut self) {
        loop {
            let sent = match self.next() {
                Ok(Frame::Bytes(bytes)) => self.bytes(&bytes),
                Ok(Frame::Text(text)) => self.text(&text),
                Ok(Frame::Close(code, _)) => {
                    let _ = self.close(code);
                    return;
                }
                Err(error) => Err(error),
            };
            if sent.is_err() {
                return;
            }
        }
    }

    /// The connection below.
    pub(crate) fn into_inner(self) -> S {
        self.stream
    }

    /// Exactly this many bytes, in however many messages.
    pub(crate) fn expect_bytes(&mut self, length: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < length {
            match self.next() {
                Ok(Frame::Bytes(bytes)) => all.extend(bytes),
                other => panic!("after {} of {length} bytes: {other:?}", all.len()),
            }
        }
        all
    }

    /// Reads to the close, and returns its code.
    pub(crate) fn expect_close(&mut self) -> u16 {
        loop {
            match self.next() {
                Ok(Frame::Close(code, _)) => return code,
                Ok(Frame::Text(_) | Frame::Bytes(_)) => {}
                Err(error) => panic!("no close, but {:?}: {error}", error.kind()),
            }
        }
    }

    fn send(&mut self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        self.garbage(&frame(self.masks, FINAL | opcode, payload))
    }

    fn read<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

fn closed(payload: &[u8]) -> Frame {
    match payload.split_first_chunk() {
        Some((code, reason)) => Frame::Close(u16::from_be_bytes(*code), String::from_utf8_lossy(reason).into()),
        None => Frame::Close(1005, String::new()),
    }
}
