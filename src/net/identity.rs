//! Who a program is to its hub.

use std::fmt;
use std::sync::Arc;

use super::client::{Client, ClientFactory};
use super::tls::{self, Trust};
use crate::proto::id::{Principal, Role};
use crate::proto::join::HubAddress;
use crate::proto::key::PrivateKey;
use crate::proto::refusal::{Refusal, RefusalKind};

/// A device or a service, with what it takes to be one at its hub.
#[derive(Clone)]
pub struct Identity {
    principal: Principal,
    client_factory: ClientFactory,
}

impl Identity {
    /// For a program that keeps its key itself: the key's public half is what the hub knows of `principal`.
    pub fn new(hub: HubAddress, trust: &Trust, principal: Principal, key: PrivateKey) -> Result<Self, Refusal> {
        let client = Client::new(hub, trust, principal.clone(), Arc::new(key)).map_err(|error| tls::explain(&error))?;
        let client_factory: ClientFactory = Arc::new(move || {
            let client = client.clone();
            Box::pin(async move { Ok(client) })
        });
        Ok(Self { principal, client_factory })
    }

    /// For one that has another way to become a client, which is asked before each connection.
    pub fn with_client_factory(principal: Principal, client_factory: ClientFactory) -> Self {
        Self { principal, client_factory }
    }

    /// Who it is.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// How it becomes a client, if it has that role.
    pub fn client_factory_for(&self, role: Role) -> Result<ClientFactory, Refusal> {
        if self.principal.role == role {
            return Ok(self.client_factory.clone());
        }
        let detail = format!("{} is no {role}: devices await streams, and services open them", self.principal);
        Err(Refusal::new(RefusalKind::NotPermitted, detail))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.principal)
    }
}
