//! The next step after a failure, by the hop, the kind of refusal and the cause.

use super::hop::Hop;
use crate::net::tls::TlsFailure;
use crate::net::transport::dial::{BEYOND_PROXY, DialCause};
use crate::proto::refusal::RefusalKind;

/// The cause of a failure, where the kind of refusal leaves it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The hub was not reached.
    Dial(DialCause),
    /// The server that answered is no hub.
    NotAHub,
}

/// Returns the next step after a refusal at this hop. The hint of the refusal's table is for where the hop is unknown.
pub(super) fn advice(hop: Hop, kind: RefusalKind, cause: Option<Cause>) -> &'static str {
    match (hop, kind) {
        (_, RefusalKind::HubUnreachable) => unreachable_hub(hop, cause).unwrap_or(kind.row().hint),
        (Hop::Tls, RefusalKind::CertificateNotTrusted) => match cause {
            Some(Cause::Dial(DialCause::Tls(TlsFailure::AnotherHub))) => {
                "another hub answers there, or this one was reinstalled: compare its pin with `devstream hub show` on the \
                 hub; if the hub is yours, get a new join link and run `devstream join`"
            }
            Some(Cause::Dial(DialCause::Tls(TlsFailure::WrongName))) => {
                "another server answers there, or the hub does not know this name: start it with --hostname NAME"
            }
            _ => kind.row().hint,
        },
        (Hop::Device, RefusalKind::DeviceOffline) => {
            "`devstream check` on the device shows whether its agent runs, and what keeps it from the hub"
        }
        (Hop::Stream, RefusalKind::NotPermitted) => {
            "ask the hub's operator for access: devstream hub service set NAME --stream NAME; \
             `devstream devices` lists what you may reach"
        }
        (Hop::Stream, RefusalKind::RejectedByDevice) => {
            "the device's operator decides that, with --allow-service, --allow-plain and --accept-command of its \
             device-agent; the device's log has more"
        }
        (Hop::Stream, RefusalKind::StreamNotOffered) => "choose a name that it offers with --stream NAME",
        (Hop::Stream, RefusalKind::PeerGone | RefusalKind::LostWhileOpening) => {
            "the target may have reset the connection at once, or the device lost its connection to the hub: try again, and \
             run `devstream check` on the device"
        }
        (_, kind) => kind.row().hint,
    }
}

/// Returns the next step on the hub's own machine, where `hub check` takes no address and no proxy.
pub(super) fn hub_advice(hop: Hop, kind: RefusalKind, cause: Option<Cause>) -> &'static str {
    match (hop, kind) {
        (Hop::Dns, _) => {
            "if other machines do not resolve this name either, start the hub with --hostname NAME, and make new join links"
        }
        (Hop::Tcp, _) => {
            "check that the name is this machine's, and that its firewall lets this port in; behind NAT, the router must \
             forward the port"
        }
        (Hop::Tls, RefusalKind::CertificateNotTrusted) => {
            "another server answers under this name: check what it resolves to, or start the hub with --hostname NAME"
        }
        _ => advice(hop, kind, cause),
    }
}

fn unreachable_hub(hop: Hop, cause: Option<Cause>) -> Option<&'static str> {
    let next = match (hop, cause) {
        (Hop::Dns, _) => {
            "check the name, and whether this network's DNS knows it; if it reaches the outside only through a proxy, --via \
             http://HOST:PORT has the proxy resolve it; if the hub has moved: devstream profiles set --hub HOST:PORT"
        }
        (Hop::ProxyDns, _) => "check the proxy's name; --via URL sets another proxy, --via direct uses none",
        (Hop::Tcp, Some(Cause::Dial(DialCause::TimedOut))) => {
            "packets to that address are dropped: a firewall blocks the port, or the address is wrong (devstream profiles set --hub \
             HOST:PORT sets another); most networks allow port 443, and their own proxy (--via)"
        }
        (Hop::Tcp | Hop::ProxyTcp, Some(Cause::Dial(DialCause::NoLocalAddress))) => {
            "the fault is on this machine: check its network interfaces, and with `ss -tan` what holds its local ports"
        }
        (Hop::Tcp, Some(Cause::Dial(DialCause::NoRoute))) => {
            "this machine has no route to that address: check its network connection, and whether it has IPv6 if the address \
             is one"
        }
        (Hop::Tcp, _) => {
            "check that the hub is running and listens on that address and port; if it has moved: devstream profiles set --hub \
             HOST:PORT"
        }
        (Hop::ProxyTcp, _) => {
            "check that the proxy is running on that port; --via URL sets another proxy, --via direct uses none"
        }
        (Hop::Proxy, Some(Cause::Dial(DialCause::ProxyAuthRequired))) => {
            "put USER:PASSWORD for this proxy into a file, and pass it with --via-login FILE"
        }
        (Hop::Proxy, Some(Cause::Dial(DialCause::ProxyLoginRejected))) => {
            "correct USER:PASSWORD in that file, and run this check again"
        }
        (Hop::Proxy, Some(Cause::Dial(DialCause::BeyondProxy))) => BEYOND_PROXY,
        (Hop::Proxy, Some(Cause::Dial(DialCause::ProxyForbidsPort))) => {
            "proxies often allow port 443 only: have the hub listen there as well (devstream hub --listen '[::]:443', \
             beside the --listen that it has), and here `devstream profiles set --hub HOST:443`; or ask the proxy's \
             administrator to allow CONNECT to this port"
        }
        (Hop::Proxy, _) => {
            "ask the proxy's administrator to allow CONNECT to the hub's name and port; --via URL sets another proxy"
        }
        (Hop::Tls, Some(Cause::Dial(DialCause::Tls(TlsFailure::Silent)))) => {
            "large packets seem to be lost on the path, as behind a VPN or PPPoE: set a smaller MTU on this machine (ip link \
             set dev INTERFACE mtu 1280) and try again; otherwise check that a hub listens there"
        }
        (Hop::Tls, Some(Cause::Dial(DialCause::Tls(TlsFailure::OldVersion)))) => {
            "a load balancer or another server ends TLS there: have it pass TLS through to the hub, or speak TLS 1.3"
        }
        (Hop::Tls, Some(Cause::Dial(DialCause::Tls(TlsFailure::Altered)))) => {
            "switch off the PROXY protocol at the load balancer in front of the hub (HAProxy: send-proxy; nginx: \
             proxy_protocol); the hub's log names it"
        }
        (Hop::Tls, _) => {
            "check that a hub listens there, and that no firewall or load balancer terminates TLS on the path to it"
        }
        (Hop::Authentication, Some(Cause::NotAHub)) => {
            "something else answers there, such as a web server in front of the hub or a captive portal: open the address in \
             a browser; --hub HOST:PORT sets another"
        }
        _ => return None,
    };
    Some(next)
}

/// Returns the hop at which a request for a stream was refused. The hub and its authentication are checked before.
pub(super) fn hop_of(kind: RefusalKind) -> Hop {
    const DEVICE: [RefusalKind; 2] = [RefusalKind::UnknownDevice, RefusalKind::DeviceOffline];
    if kind.is_of_session() {
        Hop::EndToEnd
    } else if DEVICE.contains(&kind) {
        Hop::Device
    } else if kind.is_of_target() {
        Hop::Target
    } else {
        Hop::Stream
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_fits_the_hop_and_the_cause() {
        let (unreachable, untrusted) = (RefusalKind::HubUnreachable, RefusalKind::CertificateNotTrusted);
        let tls = DialCause::Tls;
        let dial = |hop, kind, cause| (hop, kind, Some(Cause::Dial(cause)));
        for ((hop, kind, cause), words) in [
            (dial(Hop::Dns, unreachable, DialCause::NameNotResolved), "DNS"),
            (dial(Hop::Tcp, unreachable, DialCause::TimedOut), "dropped"),
            (dial(Hop::Tcp, unreachable, DialCause::NotConnected), "the hub is running"),
            (dial(Hop::Tcp, unreachable, DialCause::NoRoute), "no route"),
            (dial(Hop::Tcp, unreachable, DialCause::NoLocalAddress), "local ports"),
            ((Hop::Authentication, unreachable, Some(Cause::NotAHub)), "captive portal"),
            ((Hop::Authentication, unreachable, None), unreachable.row().hint),
            ((Hop::Stream, RefusalKind::NotPermitted, None), "devstream hub service set"),
            ((Hop::Stream, RefusalKind::PeerGone, None), "on the device"),
            (dial(Hop::ProxyTcp, unreachable, DialCause::NotConnected), "the proxy is running"),
            (dial(Hop::Proxy, unreachable, DialCause::ProxyAuthRequired), "--via-login"),
            (dial(Hop::Proxy, unreachable, DialCause::ProxyLoginRejected), "in that file"),
            (dial(Hop::Proxy, unreachable, DialCause::ProxyFailed), "the proxy's administrator"),
            (dial(Hop::Proxy, unreachable, DialCause::ProxyForbidsPort), "--listen '[::]:443'"),
            (dial(Hop::Proxy, unreachable, DialCause::BeyondProxy), "profiles set --hub"),
            (dial(Hop::Dns, unreachable, DialCause::NameNotResolved), "--via"),
            (dial(Hop::Tls, unreachable, tls(TlsFailure::Silent)), "MTU"),
            (dial(Hop::Tls, unreachable, tls(TlsFailure::OldVersion)), "TLS 1.3"),
            (dial(Hop::Tls, unreachable, tls(TlsFailure::Altered)), "PROXY protocol"),
            (dial(Hop::Tls, untrusted, tls(TlsFailure::AnotherHub)), "reinstalled"),
            (dial(Hop::Tls, untrusted, tls(TlsFailure::Other)), untrusted.row().hint),
            (dial(Hop::Tls, untrusted, tls(TlsFailure::WrongName)), "--hostname"),
            ((Hop::Stream, RefusalKind::StreamNotOffered, None), "offers with --stream NAME"),
            ((Hop::Stream, RefusalKind::RejectedByDevice, None), "--allow-service"),
            ((Hop::Target, RefusalKind::TargetRefused, None), RefusalKind::TargetRefused.row().hint),
        ] {
            assert!(advice(hop, kind, cause).contains(words), "{hop:?} {kind:?}: {}", advice(hop, kind, cause));
        }
    }
}
