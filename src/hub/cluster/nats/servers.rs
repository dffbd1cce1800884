//! The servers of the engine, by NATS's system services.
//!
//! Every account may ask all servers for its own connections, and the replies name server and version. Whether a server syncs its
//! disk is in its `VARZ`, which only those accounts may ask for that import the service from the system account.

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use tokio::join;

use super::Nats;
use crate::proto::admin::EngineServer;

/// The service that each server replies to with the account's connections.
const CONNECTIONS: &str = "$SYS.REQ.ACCOUNT.PING.CONNZ";

/// One connection in a reply, the least there can be: they are of no use here.
const ONE_CONNECTION: &[u8] = br#"{"limit":1}"#;

/// The service that each server replies to with its settings.
const SETTINGS: &str = "$SYS.REQ.SERVER.PING.VARZ";

/// The limit on servers: an engine has three or five.
const MAX_SERVERS: usize = 64;

/// A reply of a server.
#[derive(Deserialize)]
struct Reply {
    server: Server,
    #[serde(default)]
    data: Data,
}

#[derive(Deserialize)]
struct Server {
    id: String,
    name: String,
    ver: String,
}

#[derive(Default, Deserialize)]
struct Data {
    jetstream: Option<JetStream>,
}

#[derive(Default, Deserialize)]
struct JetStream {
    #[serde(default)]
    config: Config,
}

#[derive(Default, Deserialize)]
struct Config {
    #[serde(default)]
    sync_always: bool,
}

/// Asks all servers, and returns those that reply in time, by name.
pub(super) async fn all(nats: &Nats, within: Duration) -> Vec<EngineServer> {
    let info = nats.client.server_info();
    // A server tells of the others of its cluster, unless it is set not to.
    let count = info.connect_urls.len().max(nats.told).min(MAX_SERVERS);
    let ask = |service: &str, message| nats.gather_on(service.to_owned(), Bytes::from_static(message), count, within);
    let (connections, settings) = join!(ask(CONNECTIONS, ONE_CONNECTION), ask(SETTINGS, b""));
    listed(&parsed(&connections.unwrap_or_default()), &parsed(&settings.unwrap_or_default()), &info.server_id)
}

fn parsed(replies: &[Bytes]) -> Vec<Reply> {
    replies.iter().filter_map(|reply| serde_json::from_slice(reply).ok()).collect()
}

fn listed(connections: &[Reply], settings: &[Reply], connected: &str) -> Vec<EngineServer> {
    let synced = |id: &str| {
        let reply = settings.iter().find(|reply| reply.server.id == id)?;
        Some(reply.data.jetstream.as_ref()?.config.sync_always)
    };
    let server = |Reply { server: Server { id, name, ver }, .. }: &Reply| EngineServer {
        name: name.clone(),
        version: ver.clone(),
        is_connected: id == connected,
        synced: synced(id),
    };
    let mut servers: Vec<_> = connections.iter().map(server).collect();
    servers.sort_by(|one, other| one.name.cmp(&other.name));
    servers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_synced_or_not_or_does_not_say() {
        let reply = |id: &str, data: &str| {
            Bytes::from(format!(
                r#"{{"server":{{"name":"n{id}","host":"h","id":"{id}","ver":"2.9.10","seq":1}},"data":{data}}}"#
            ))
        };
        let connections = ["3", "1", "2"].map(|id| reply(id, r#"{"connections":[]}"#));
        let settings = [
            reply("1", r#"{"jetstream":{"config":{"sync_interval":120000000000,"sync_always":true}}}"#),
            reply("2", r#"{"jetstream":{"config":{"store_dir":"/x"}}}"#),
            reply("3", "{}"),
            Bytes::from_static(b"nonsense"),
        ];
        let servers = listed(&parsed(&connections), &parsed(&settings), "2");
        let said: Vec<_> =
            servers.iter().map(|server| (server.name.as_str(), server.synced, server.is_connected)).collect();
        assert_eq!(said, [("n1", Some(true), false), ("n2", Some(false), true), ("n3", None, false)]);
        assert!(listed(&parsed(&connections), &[], "").iter().all(|server| server.synced.is_none()));
    }
}
