//! The limits and timeouts of the protocol, each with its reason.

use std::time::Duration;

/// Timeout of a stream's handshake, from the service's request to the arrival of both WebSockets, as the specification has it.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);

/// Lifetime of a stream token, as the specification has it.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(60);

/// Timeout of a connected device's response to a stream request: Azure IoT Hub's default for the same header.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// Timeout of the TLS handshake, from the accepted TCP connection on: longer than on any real network, short enough to
/// free idle sockets.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout of a request head, from the end of the TLS handshake or of the previous response on. It bounds the idle time
/// of a kept-alive connection.
pub const REQUEST_HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Timeout of a request body, from its head on: at most [`REQUEST_BODY_BYTES`] are to be read.
pub const REQUEST_BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Timeout of authentication, from the end of the TLS handshake on, which has [`TLS_HANDSHAKE_TIMEOUT`] of its own.
pub const AUTH_TIMEOUT: Duration = Duration::from_secs(15);

/// Size limit of a request line with its headers. Those of devstream are under 1 KiB; reverse proxies add a few more.
pub const REQUEST_HEAD_BYTES: usize = 16 * 1024;

/// Limit of header fields in one request.
pub const REQUEST_HEADERS: usize = 64;

/// Size limit of a request body. Only join requests have one, of a few hundred bytes.
pub const REQUEST_BODY_BYTES: usize = 4 * 1024;

/// Size limit of a response body that a client reads: a refusal or a join response.
pub const RESPONSE_BODY_BYTES: usize = 16 * 1024;

/// Size limit of the device list that a service reads: a few hundred bytes for each of tens of thousands of devices.
pub const DEVICE_LIST_BYTES: usize = 32 * 1024 * 1024;

/// Limit of unauthenticated connections from all sources: sshd's MaxStartups, scaled up. A quarter is for sources that
/// authenticated lately.
pub const UNAUTHENTICATED_CONNECTIONS: usize = 1024;

/// Limit of unauthenticated connections from one source address: a fleet behind one NAT reconnects in batches of this
/// size, and each of two clients there may be opening half as many streams at the same time.
pub const UNAUTHENTICATED_CONNECTIONS_PER_SOURCE: usize = 128;

/// Limit of concurrent handshakes to one device: two services share it, each of which opens 200 streams per second over
/// a path with a round-trip time of 300 ms.
pub const PENDING_PER_DEVICE: usize = 128;

/// Limit of concurrent handshakes of one service with one device: half of [`PENDING_PER_DEVICE`], so that another
/// service always finds a place there.
pub const PENDING_PER_SERVICE_AND_DEVICE: usize = PENDING_PER_DEVICE / 2;

/// Time that a service has to connect its leg before its handshake gives way to another service's, where a device has no
/// place left: the three round trips of a new connection over a satellite, one of them repeated.
pub const HALF_OPEN_GRACE: Duration = Duration::from_secs(3);

/// Limit of concurrent handshakes of one service.
pub const PENDING_PER_SERVICE: usize = 256;

/// Limit of concurrent handshakes of the hub.
pub const PENDING_PER_HUB: usize = 4096;

/// Limit of concurrent streams to one device. One service has at most as many of them as are free: 1,024 where it is
/// alone, and another one always gets in.
pub const STREAMS_PER_DEVICE: usize = 2048;

/// Limit of concurrent streams of one service.
pub const STREAMS_PER_SERVICE: usize = 2048;

/// Default limit of concurrent streams of one agent or proxy: what the hub allows a device or a service, whichever is
/// more.
pub const STREAMS_PER_CLIENT: usize =
    if STREAMS_PER_DEVICE > STREAMS_PER_SERVICE { STREAMS_PER_DEVICE } else { STREAMS_PER_SERVICE };

/// Limit of concurrent streams of the hub: at two file descriptors each, they fit in 20,000.
pub const STREAMS_PER_HUB: usize = 8192;

/// Limit of requests to a device for one stream: an agent that loses all of its connections may cost two, a few times in
/// a row; more have a cause that lasts.
pub const DEVICE_REQUESTS_PER_STREAM: u32 = 10;

/// Time for which a device that lost its connections while a stream was being opened is awaited: several attempts to
/// reconnect, and a person whose device has lost its power still waits for the error.
pub const RETURN_WAIT: Duration = Duration::from_secs(10);

/// Limit of ended streams that a hub remembers for a service that repeats its request: more than two cores open in the
/// seconds until then.
pub const RECENT_REQUESTS_OF_HUB: usize = 8192;

/// Size limit of a control message. The largest, a hello with every forward, has a few KiB.
pub const CONTROL_MESSAGE_BYTES: usize = 64 * 1024;

/// Time in which the rest of a control message arrives at the hub, once a part has: one is sent in a single call, and
/// the hub holds what it has of it. A mobile network's handover is shorter.
pub const CONTROL_MESSAGE_TIME: Duration = Duration::from_secs(10);

/// Nesting limit of a control message. Those of devstream need four levels.
pub const CONTROL_MESSAGE_DEPTH: usize = 8;

/// Limit of forwards of one device, so that a hello fits in a control message.
pub const FORWARDS_PER_DEVICE: usize = 256;

/// Limit of targets that a device reports as dead, so that they fit in a control message.
pub const DEAD_TARGETS: usize = 16;

/// Size limit of a data message that is sent: the maximum payload of Azure IoT Hub, so that any client accepts it.
pub const MAX_SENT_MESSAGE_BYTES: usize = 64 * 1024;

/// Size of a data message while the sender has more: with its frame header, four full TLS records, written in one call.
pub const FULL_MESSAGE_BYTES: usize = MAX_SENT_MESSAGE_BYTES - 8;

/// Size limit of a data message that is received: the largest that other WebSocket libraries send unfragmented.
pub const MAX_RECEIVED_MESSAGE_BYTES: usize = 256 * 1024;

/// Limit of bytes buffered for one leg until the other arrives; beyond it, TCP flow control stops the sender. A request, a
/// banner or a `resume` fits, and one identity may have thousands of such legs.
pub const UNJOINED_LEG_BYTES: usize = 16 * 1024;

/// Default limit of standby connections that a hub holds for one identity: the streams of a busy second, including
/// those that are closing.
pub const STANDBYS_PER_IDENTITY: usize = 256;

/// Upper bound of the configurable limit of standby connections for one identity.
pub const MAX_STANDBYS_PER_IDENTITY: usize = 1024;

/// Idle timeout of a standby connection between two streams, after which the end that opened it closes it.
pub const STANDBY_IDLE_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Interval before another standby connection is offered to a hub that refused one.
pub const STANDBY_RETRY_INTERVAL: Duration = Duration::from_secs(60);

/// Time after which a peer that has not answered a request on a standby connection is pinged at the latest: most have
/// answered by then, and one ping more costs little.
pub const STANDBY_PING_DELAY: Duration = Duration::from_millis(300);

/// Timeout of that ping, after which a new connection is opened instead: two round trips over a satellite, while a
/// person still waits.
pub const STANDBY_PROBE_TIMEOUT: Duration = Duration::from_millis(1500);

/// Time to wait for the first bytes of a local connection, so that they are sent with the request: applications that
/// send first do so at once, and the others do not suffer from it.
pub const EARLY_DATA_WAIT: Duration = Duration::from_millis(1);

/// Streams at once from which the last messages of one wait for the next: it follows within a moment. Where one stream
/// follows another, they would delay it.
pub const BUSY_STREAMS: usize = 8;

/// Limit of bytes sent with a stream's request: a TLS ClientHello, an HTTP request, an SSH banner.
pub const EARLY_DATA_BYTES: usize = 16 * 1024;

/// The limit of early data that tickets name, RFC 8446 section 4.2.10, in bytes: a service keeps to [`EARLY_DATA_BYTES`]. What a
/// device declines counts against this one, in rustls again with each message that arrives until the handshake goes on: a
/// thousand of them.
pub const MAX_EARLY_DATA_SIZE: u32 = 16 * 1024 * 1024;

/// Timeout of the end-to-end handshake of an open stream: long enough for an interruption, and a person still waits.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(30);

/// Time for which a part of the end-to-end handshake that nobody waits for is held back, to go out with the answer or the end
/// of the application: most come within it.
pub const HANDSHAKE_HOLD: Duration = Duration::from_millis(1);

/// Time in which the alert of a failed end-to-end session is sent to the peer, before the stream is reset.
pub const SESSION_ALERT_TIME: Duration = Duration::from_secs(1);

/// Window of either end of a stream, in bytes, before the first acknowledgement: enough for one round trip of any
/// login.
pub const INITIAL_WINDOW: u64 = 256 * 1024;

/// Window in bytes from the first acknowledgement of a transfer on, until the path turns out to be a short one: TCP is
/// still in slow start below, and would take a smaller window for the path's capacity.
pub const LONG_PATH_WINDOW: u64 = 2 * 1024 * 1024;

/// Largest window of one stream, in bytes: 1.3 Gbit/s at a round-trip time of 200 ms.
pub const MAX_WINDOW: u64 = 32 * 1024 * 1024;

/// Default limit of the bytes that all streams of a client hold: received and not delivered, and sent and not
/// acknowledged. Half of it is a pool of which one direction may take half, which is then [`MAX_WINDOW`].
pub const MEMORY_BUDGET: u64 = 4 * MAX_WINDOW;

/// Lower bound of the configurable memory budget: that of a dozen streams.
pub const MIN_MEMORY_BUDGET: u64 = 1024 * 1024;

/// Bytes of the memory budget that each direction of a stream may hold, whatever the others hold: a stream still carries
/// 100 KiB/s at a round-trip time of 150 ms.
pub const STREAM_RESERVE: u64 = 16 * 1024;

/// Bytes of a transfer that are acknowledged first, on a path that looks long: the first flight of TCP's slow start.
pub const FIRST_ACK: u64 = 14 * 1024;

/// Bytes written to the local side per acknowledgement, at least: where the window is small.
pub const ACK_EVERY: u64 = 64 * 1024;

/// Bytes written to the local side per acknowledgement, at most: where the window is large, since each acknowledgement
/// wakes three processes. Less than [`INITIAL_WINDOW`], which is all that a sender may have in flight at first: it must
/// not wait for an acknowledgement that is not due.
pub const MAX_ACK_EVERY: u64 = INITIAL_WINDOW / 4 * 3;

/// Messages, of whatever size, per acknowledgement: the sender keeps each of them until then. One that may keep only
/// [`STREAM_RESERVE`] divides that into this number.
pub const ACK_MESSAGES: u32 = 64;

/// Limit of chunks that an end keeps until they are acknowledged: a window of single bytes would take many times its
/// size. Far more than [`ACK_MESSAGES`], so that neither end waits for the other.
pub const MAX_UNACKED_CHUNKS: usize = 4096;

/// Size limit of a text message on a stream, such as the end of a direction: those of devstream are under 100 bytes.
pub const STREAM_CONTROL_BYTES: usize = 1024;

/// Burst of WebSocket pings, pongs and empty messages that a peer may send.
pub const CONTROL_FRAME_BURST: u32 = 64;

/// Rate of WebSocket pings, pongs and empty messages that a peer may send, per second.
pub const CONTROL_FRAMES_PER_SECOND: u32 = 20;

/// Time without a read after which a peer is dead: three times the usual `ClientAliveInterval` of 15 s. Each end sends at least every 25 s, which also
/// keeps NAT mappings alive.
pub const DEAD_AFTER: Duration = Duration::from_secs(45);

/// Range of the configurable time, in seconds: below it, a busy machine on a slow link would be declared dead; above a
/// day, it is no limit.
pub const DEAD_AFTER_RANGE: std::ops::RangeInclusive<u64> = 4..=86_400;

/// Timeout of a probe, sent when the network changed or before a peer is declared dead: a few round trips of a mobile
/// network.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Interval between two checks for suspension and for a new address.
pub const NETWORK_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Difference between wall clock and monotonic clock that indicates suspension, or that the clock was set.
pub const CLOCK_JUMP: Duration = Duration::from_secs(10);

/// Default time that a stream may be interrupted before its local sockets are reset: a restart of the hub, a change of
/// networks, a train in a tunnel. A closed laptop may need more.
pub const RESUME_GRACE: Duration = Duration::from_secs(120);

/// Upper bound of the configurable resume grace: the bytes kept meanwhile are bounded, but a session stays open on the
/// device.
pub const MAX_RESUME_GRACE: Duration = Duration::from_secs(24 * 60 * 60);

/// Bound of the first delay before an end rejoins an interrupted stream.
pub const REJOIN_BASE: Duration = Duration::from_millis(100);

/// Largest bound of the delay between two attempts to rejoin: the return of the hub is noticed soon.
pub const REJOIN_CAP: Duration = Duration::from_secs(2);

/// Uptime of a stream after which the next interruption starts from [`REJOIN_BASE`].
pub const REJOIN_RESET_AFTER: Duration = Duration::from_secs(10);

/// Limit of repetitions of a client's own request, or of its leg's, while a stream is being opened, after connections
/// that were lost: some in a row are bad luck, more have a cause that lasts.
pub const OPEN_RETRIES: u32 = 3;

/// Limit of streams of one client that rejoin at the same time: until each has authenticated, it counts against
/// [`UNAUTHENTICATED_CONNECTIONS_PER_SOURCE`] of its hub.
pub const CONCURRENT_REJOINS: usize = 16;

/// The time after which a stream that rejoins does not count against [`CONCURRENT_REJOINS`]: by then most hubs have authenticated it, and
/// the rest are some dozen connections a second.
pub const REJOIN_PERMIT_TIME: Duration = Duration::from_millis(100);

/// Limit of streams that one client opens at the same time before the hub has told its own limit: with a few clients
/// behind one address, far below [`UNAUTHENTICATED_CONNECTIONS_PER_SOURCE`].
pub const INITIAL_CONCURRENT_OPENINGS: usize = 16;

/// Bound of the first delay before a stream is requested again that the hub had no capacity for: about the time that
/// it takes to open one.
pub const BUSY_RETRY_BASE: Duration = Duration::from_millis(250);

/// Largest bound of that delay: a thousand waiting clients make a few hundred requests per second.
pub const BUSY_RETRY_CAP: Duration = Duration::from_secs(4);

/// Time for which a hub is tried again that closes connections before TLS: as long as unauthenticated connections may
/// last, which may be too many. A server that is no hub does the same, and a person waits for the error.
pub const REJECTED_RETRY_TIME: Duration = Duration::from_secs(15);

/// Rate at which connections return to a hub that was shut down, per second: each is a TLS handshake.
pub const RECONNECTS_PER_SECOND: u32 = 400;

/// Size limit of a resume token in a header: three ids of at most 128 characters, and a signature.
pub const RESUME_TOKEN_BYTES: usize = 1024;

/// Limit on the places at which a stream may be resumed: the hub that carries it, the one that takes over from it, the name
/// that all hubs share, and one to spare.
pub const RESUME_PLACES: usize = 4;

/// Size limit of the base URL of such a place: `wss://`, a host name and a port.
pub const RESUME_PLACE_BYTES: usize = 6 + 255;

/// Timeout of writing one message to a control connection's socket: a peer that reads nothing for this long is dead.
pub const CONTROL_SEND_TIMEOUT: Duration = Duration::from_secs(20);

/// Timeout of the peer's answer to a close frame; after that the socket is closed.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Timeout of connecting to the hub: name resolution, TCP, TLS and upgrade together.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(20);

/// Timeout of one address of the hub: a dead one must not use up [`DIAL_TIMEOUT`].
pub const DIAL_ADDRESS_TIMEOUT: Duration = Duration::from_secs(6);

/// Connection Attempt Delay, RFC 8305 section 5: the next address is tried in parallel with one that has not answered
/// within this.
pub const CONNECTION_ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Limit of addresses of one name that are tried: all within [`DIAL_TIMEOUT`], and no flood if a name has hundreds.
pub const DIAL_ADDRESSES: usize = 16;

/// Timeout of a proxy's response: as long as for one address, and time for its own name resolution.
pub const PROXY_TIMEOUT: Duration = Duration::from_secs(10);

/// Size limit of the head of a proxy's response; common proxies send under 1 KiB.
pub const PROXY_RESPONSE_BYTES: usize = 8 * 1024;

/// Timeout of connecting to the device's target: a refusal must arrive while a person still waits for `ssh`.
pub const TARGET_TIMEOUT: Duration = Duration::from_secs(10);

/// Bound of the first delay before reconnecting, with full jitter.
pub const BACKOFF_BASE: Duration = Duration::from_secs(1);

/// Largest bound of the delay between two attempts: a fleet is back within a minute of its hub's return, including
/// those rejected at the busiest time.
pub const BACKOFF_CAP: Duration = Duration::from_secs(30);

/// Time for which a hub that closes connections before TLS is tried again every one or two seconds: it does so while a
/// neighbour behind the same address attacks it, and lets some in each second. Each attempt costs it little.
pub const REJECTED_RETRY_SOON: Duration = Duration::from_secs(300);

/// Uptime of a connection after which the next delay starts from [`BACKOFF_BASE`].
pub const BACKOFF_RESET_AFTER: Duration = Duration::from_secs(60);

/// Shortest delay of an agent that another one displaced, so that the two do not displace each other in turn, where the hub
/// cannot tell it that the other one is still there.
pub const DISPLACED_BACKOFF: Duration = Duration::from_secs(60);

/// Limit of cleanly closed streams that a hub remembers, for an end that lost its connection just then and returns:
/// more than close while one does.
pub const RECENTLY_CLOSED_STREAMS: usize = 1024;

/// Limit of keys of one identity: the current one, and the one it replaces.
pub const KEYS_PER_IDENTITY: usize = 2;

/// Timeout of a device's accept command: its decision must arrive while a person still waits for `ssh`.
pub const ACCEPT_COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// Length limit of a device's reason for a refusal, in characters: one or two lines of a terminal.
pub const REASON_CHARS: usize = 256;

/// Size limit of a WebSocket close reason: 125 bytes less the code, RFC 6455 section 5.5.
pub const CLOSE_REASON_BYTES: usize = 123;

/// Buffer between a program and its stream in each direction, in bytes: one message, since both are in one process.
pub const STREAM_BUFFER_BYTES: usize = 64 * 1024;

/// Time after which a stream that its program has dropped is reset if no byte moves: Linux's FIN timeout for a closed
/// socket.
pub const STREAM_LINGER: Duration = Duration::from_secs(60);

/// Timeout of a device program's decision about a stream, as long as the whole handshake may take.
pub const DECISION_TIMEOUT: Duration = Duration::from_secs(60);
