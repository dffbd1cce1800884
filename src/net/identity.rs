//! The identity of a program at its hub.

use std::fmt;
use std::future::ready;
use std::sync::Arc;

use crate::net::client::{Client, ClientFactory};
use crate::net::tls::{self, Trust};
use crate::proto::id::{Principal, Role};
use crate::proto::join::HubAddress;
use crate::proto::key::PrivateKey;
use crate::proto::refusal::{Refusal, RefusalKind};

/// A device or a service, and the means to connect as it to its hub.
#[derive(Clone)]
pub struct Identity {
    principal: Principal,
    client_factory: ClientFactory,
}

impl Identity {
    /// Creates the identity of a program that keeps its key itself. The hub must have the public key registered for
    /// `principal`. Where the hub has a streaming endpoint at another host, its clients must know that:
    /// [`Self::with_client_factory`].
    pub fn new(hub: HubAddress, trust: &Trust, principal: Principal, key: PrivateKey) -> Result<Self, Refusal> {
        let client = Client::new(hub, trust, principal.clone(), Arc::new(key)).map_err(|error| tls::explain(&error))?;
        let client_factory = ClientFactory::new(move || ready(Ok(client.clone())));
        Ok(Self { principal, client_factory })
    }

    /// Creates an identity whose clients come from a factory, which is called before each connection.
    pub fn with_client_factory(principal: Principal, client_factory: ClientFactory) -> Self {
        Self { principal, client_factory }
    }

    /// The identity's role and id.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The factory of its clients; a refusal if the identity has another role.
    pub fn client_factory_for(&self, role: Role) -> Result<ClientFactory, Refusal> {
        if self.principal.role == role {
            return Ok(self.client_factory.clone());
        }
        let detail = format!("{} is not a {role}: devices accept streams, services open them", self.principal);
        Err(Refusal::new(RefusalKind::NotPermitted, detail))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.principal)
    }
}
