//! Every limit and timeout of the protocol, each with its reason.

use std::time::Duration;

/// Spec: service request until both WebSockets are there.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);

/// Spec: a stream token must be used within 60 seconds.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(60);

/// How long a connected device may take to answer; the original's default for the same header.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// TCP accepted until TLS is done: slower than any honest network, short enough that idle sockets free up.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// TLS done until a whole request head is there, and the longest a kept-alive connection may idle between two.
pub const REQUEST_HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// A request body, once its head is there: bodies are at most [`REQUEST_BODY_BYTES`].
pub const REQUEST_BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection's whole life until it has proved who it is: nothing keeps a stranger's place longer.
pub const AUTH_TIMEOUT: Duration = Duration::from_secs(15);

/// Request line and headers together. Ours are under 1 KiB; reverse proxies add a few more.
pub const REQUEST_HEAD_BYTES: usize = 16 * 1024;

/// Header fields in one request.
pub const REQUEST_HEADERS: usize = 64;

/// The only bodies are join requests, a few hundred bytes.
pub const REQUEST_BODY_BYTES: usize = 4 * 1024;

/// An answer's body as a client reads it: a refusal or a join answer.
pub const RESPONSE_BODY_BYTES: usize = 16 * 1024;

/// The list of devices as a service reads it: a few hundred bytes for each of tens of thousands.
pub const DEVICE_LIST_BYTES: usize = 32 * 1024 * 1024;

/// Connections that have not proved who they are, over all sources (sshd's MaxStartups, scaled up).
pub const UNAUTHENTICATED_CONNECTIONS: usize = 1024;

/// The same from one source address: a fleet behind one NAT reconnects in turns of this size.
pub const UNAUTHENTICATED_CONNECTIONS_PER_SOURCE: usize = 64;

/// Handshakes under way to one device: the backlog of its own accept loop.
pub const PENDING_PER_DEVICE: usize = 64;

/// Handshakes under way for one service.
pub const PENDING_PER_SERVICE: usize = 128;

/// Handshakes under way in the whole hub.
pub const PENDING_PER_HUB: usize = 4096;

/// Streams at once to one device.
pub const STREAMS_PER_DEVICE: usize = 1024;

/// Streams at once for one service.
pub const STREAMS_PER_SERVICE: usize = 2048;

/// Streams at once in the whole hub: two file descriptors each must fit in 20,000.
pub const STREAMS_PER_HUB: usize = 8192;

/// One control message: the largest, a hello with every forward, is a few KiB.
pub const CONTROL_MESSAGE_BYTES: usize = 64 * 1024;

/// Nesting of a control message; ours need three.
pub const CONTROL_MESSAGE_DEPTH: usize = 8;

/// Forwards one device may offer, so that a hello fits its message.
pub const FORWARDS_PER_DEVICE: usize = 256;

/// The largest data message we send: the original's maximum payload, so any client can take it.
pub const DATA_MESSAGE_BYTES: usize = 64 * 1024;

/// A data message of a sender that has more: with its head, four full TLS records, which go out in one call.
pub const FULL_MESSAGE_BYTES: usize = DATA_MESSAGE_BYTES - 8;

/// The largest data message we take: what other WebSocket libraries send in one piece.
pub const DATA_MESSAGE_LIMIT: usize = 256 * 1024;

/// Bytes of one side held in user space while the other side has not arrived; after that TCP holds it back.
pub const PENDING_LEG_BYTES: usize = 128 * 1024;

/// Standby connections that a hub holds for one identity, unless it is told otherwise: as many as it would have streams in a
/// busy second, those that are being ended among them.
pub const STANDBYS_PER_IDENTITY: usize = 128;

/// More than a hub can be asked to hold for one identity.
pub const MAX_STANDBYS_PER_IDENTITY: usize = 1024;

/// Between two streams: the end that brought a standby connection gives it back when nobody wanted it for so long.
pub const STANDBY_IDLE_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// A hub that takes no standby connection is not asked for that again within this.
pub const STANDBY_RETRY_INTERVAL: Duration = Duration::from_secs(60);

/// Whoever was asked on a standby connection and has not answered is asked for a sign of life, at the latest, after this: most
/// have answered by then, and one ping more costs little.
pub const STANDBY_PING_DELAY: Duration = Duration::from_millis(300);

/// The sign of life of a standby connection that was idle comes within this, or another way is taken: two round trips over a
/// satellite, and a person still waits.
pub const STANDBY_PROBE_TIMEOUT: Duration = Duration::from_millis(1500);

/// How long the first bytes of a local connection are waited for, so that they go along with the request: applications that
/// speak first do so at once, and nobody notices this of those that do not.
pub const EARLY_DATA_WAIT: Duration = Duration::from_millis(1);

/// Bytes of a stream that go along with its request: a TLS hello, an HTTP request, an SSH banner.
pub const EARLY_DATA_BYTES: usize = 16 * 1024;

/// What either end of a stream may send before the first acknowledgement: enough for a round trip of any login.
pub const INITIAL_WINDOW: u64 = 256 * 1024;

/// On a long way the window is this from the first acknowledgement on: the connections below find out how fast they may be
/// while they begin, and would take a smaller one for the way's own limit.
pub const LONG_PATH_WINDOW: u64 = 2 * 1024 * 1024;

/// The largest window of one stream: 1.3 Gbit/s at a round trip of 200 ms.
pub const MAX_WINDOW: u64 = 32 * 1024 * 1024;

/// All windows of one client together, as long as each can have [`INITIAL_WINDOW`]: what stalled readers can make it hold,
/// and the same again what it may keep of its own bytes until they are acknowledged.
pub const WINDOW_BUDGET: u64 = 32 * 1024 * 1024;

/// Bytes written to the local side until an acknowledgement is sent, where the window is small …
pub const ACK_EVERY: u64 = 64 * 1024;

/// … and where it is large: each costs three processes a wake-up. Within [`INITIAL_WINDOW`], all that a sender with many
/// streams may keep for each: it must not wait for one that is not due.
pub const MAX_ACK_EVERY: u64 = INITIAL_WINDOW / 4 * 3;

/// Messages, however small, until an acknowledgement is sent: the other end keeps each of them until then.
pub const ACK_MESSAGES: u32 = 64;

/// Pieces that an end keeps until they are acknowledged: a window of single bytes would take many times its size. Far more
/// than [`ACK_MESSAGES`], so that the two never wait for each other.
pub const MAX_UNACKED_CHUNKS: usize = 4096;

/// A text frame on a stream: end of direction and the like, under 100 bytes.
pub const STREAM_CONTROL_BYTES: usize = 1024;

/// WebSocket pings, pongs and empty messages a peer may send at once …
pub const CONTROL_FRAME_BURST: u32 = 64;

/// … and the rate at which that allowance refills, per second.
pub const CONTROL_FRAMES_PER_SECOND: u32 = 20;

/// A peer of which nothing was heard for so long is dead: sshd's 15 s three times. Each end says something at least every
/// 25 s, which also keeps NATs from forgetting.
pub const DEAD_AFTER: Duration = Duration::from_secs(45);

/// Less, and a busy machine on a slow line would be taken for dead; more than a day is no limit.
pub const DEAD_AFTER_RANGE: std::ops::RangeInclusive<u64> = 4..=86_400;

/// A peer that is asked because something changed, or before it is given up, answers within this: a few round trips of
/// a mobile network.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a machine looks whether it has slept, or has another address.
pub const NETWORK_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Clocks that differ by this much more than a moment ago tell of a sleep, or of somebody who set one.
pub const CLOCK_JUMP: Duration = Duration::from_secs(10);

/// How long a stream may be interrupted before its local sockets are reset: a hub's restart, a change of networks, a
/// tunnel with a train in it. A laptop's lid may want more.
pub const RESUME_GRACE: Duration = Duration::from_secs(120);

/// The longest: what ends keep meanwhile is bounded, but somebody's session stays open on a device.
pub const MAX_RESUME_GRACE: Duration = Duration::from_secs(24 * 60 * 60);

/// An end comes back for the first time within this …
pub const REJOIN_BASE: Duration = Duration::from_millis(100);

/// … and then at least this often: a hub that is back is noticed soon.
pub const REJOIN_CAP: Duration = Duration::from_secs(2);

/// A stream that stood this long was good: the next interruption is a new one.
pub const REJOIN_RESET_AFTER: Duration = Duration::from_secs(10);

/// Streams of one client that come back at the same time: its hub counts each as a stranger until it has shown who it is,
/// and takes [`UNAUTHENTICATED_CONNECTIONS_PER_SOURCE`] of those.
pub const CONCURRENT_REJOINS: usize = 16;

/// How many connections a second come back to a hub that has ended on purpose: each is a TLS handshake.
pub const RECONNECTS_PER_SECOND: u32 = 400;

/// A resume token as it stands in a header: three ids of at most 128 characters, and a signature.
pub const RESUME_TOKEN_BYTES: usize = 1024;

/// One message handed to a control connection's socket; a peer that reads nothing for this long is dead.
pub const CONTROL_SEND_TIMEOUT: Duration = Duration::from_secs(20);

/// A close frame until the peer answers it; after that the socket is closed.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The whole of reaching the hub: name, TCP, TLS, upgrade.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(20);

/// One address of the hub: a dead one must not eat the whole of [`DIAL_TIMEOUT`].
pub const DIAL_ADDRESS_TIMEOUT: Duration = Duration::from_secs(6);

/// RFC 8305 section 5: the next address is tried beside one that has not answered within this.
pub const CONNECTION_ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Addresses of one name that are tried: all within [`DIAL_TIMEOUT`], and no flood for who gives a name hundreds.
pub const DIAL_ADDRESSES: usize = 16;

/// What a proxy may take to say whether it leads to the hub: as long as one address, and some for its own look-up.
pub const PROXY_TIMEOUT: Duration = Duration::from_secs(10);

/// The head of a proxy's answer, with what it has to say about itself; under 1 KiB with those there are.
pub const PROXY_RESPONSE_BYTES: usize = 8 * 1024;

/// The device's own target: refuse within the time a person waits for `ssh`.
pub const TARGET_TIMEOUT: Duration = Duration::from_secs(10);

/// First reconnect: full jitter from zero to this.
pub const BACKOFF_BASE: Duration = Duration::from_secs(1);

/// The longest pause between two attempts: a fleet whose hub was away is back within a minute of its return, the unlucky
/// ones that meet it at its busiest included.
pub const BACKOFF_CAP: Duration = Duration::from_secs(30);

/// A connection that stood this long was good: the next pause starts from the base.
pub const BACKOFF_RESET_AFTER: Duration = Duration::from_secs(60);

/// An agent that another one replaced waits at least this long, so that two never take turns.
pub const DISPLACED_WAIT: Duration = Duration::from_secs(60);

/// Streams of which a hub remembers that they ended well, for an end that lost its connection in that moment and comes back: more
/// than end while one does.
pub const RECENTLY_CLOSED_STREAMS: usize = 1024;

/// Keys of one identity: the one in use, and the one it replaces.
pub const KEYS_PER_IDENTITY: usize = 2;

/// A device's accept command: within the time a person waits for `ssh`.
pub const ACCEPT_COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// A device's words about a refusal, in characters: one line on a terminal or two.
pub const REASON_CHARS: usize = 256;

/// A WebSocket close reason, RFC 6455 section 5.5: 125 bytes less the code.
pub const CLOSE_REASON_BYTES: usize = 123;

/// What a program may have written to a stream that the tunnel has not yet taken, and the other way: as much as one message,
/// since both are in one process.
pub const PROGRAM_BYTES: usize = 64 * 1024;

/// A stream that its program has let go of, and on which nothing moves for so long, is reset: what Linux gives a socket that
/// was closed.
pub const PROGRAM_LINGER: Duration = Duration::from_secs(60);

/// A device's program decides about a stream within this: a service waits no longer for the whole handshake.
pub const DECISION_TIMEOUT: Duration = Duration::from_secs(60);
