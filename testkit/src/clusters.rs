//! The clusters of a scenario, to which plugins send HTTP calls.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::net::TcpSocket;

use crate::gate::Gate;
use crate::scenario::Cluster;
use crate::transcript::Received;
use crate::upstream::Upstream;

/// The addresses of clusters by name. `None` is a cluster without hosts.
pub type Addresses = BTreeMap<String, Option<SocketAddr>>;

/// The services of a scenario's clusters. Dropping them stops them.
#[derive(Debug)]
pub struct Clusters {
    services: BTreeMap<String, Service>,
}

#[derive(Debug)]
enum Service {
    Server(Upstream),
    /// A port that is taken and on which nothing listens, so that the system refuses connections.
    Refusing(TcpSocket),
    NoHosts,
}

// === impl Clusters ===

impl Clusters {
    /// Starts the services, each on a port chosen by the operating system.
    pub fn start(stated: &BTreeMap<String, Cluster>) -> Result<Self> {
        let services = stated.iter().map(|(name, cluster)| {
            let service = Service::start(cluster)
                .with_context(|| format!("cannot start the cluster `{name}`"))?;
            Ok((name.clone(), service))
        });
        Ok(Self {
            services: services.collect::<Result<_>>()?,
        })
    }

    /// Returns the addresses.
    pub fn addresses(&self) -> Result<Addresses> {
        let addresses = self.services.iter().map(|(name, service)| {
            let address = match service {
                Service::Server(server) => Some(server.address()),
                Service::Refusing(socket) => Some(socket.local_addr()?),
                Service::NoHosts => None,
            };
            Ok((name.clone(), address))
        });
        addresses.collect()
    }

    /// Returns the gate of a cluster's service, if it has one.
    pub fn gate(&self, name: &str) -> Option<&Gate> {
        match self.services.get(name)? {
            Service::Server(server) => Some(server.gate()),
            Service::Refusing(_) | Service::NoHosts => None,
        }
    }

    /// Waits until every connection has ended and returns the calls that each cluster received, in the order of arrival.
    /// The proxy must have stopped.
    pub fn finish(self) -> Result<BTreeMap<String, Vec<Received>>> {
        let calls = self.services.into_iter().map(|(name, service)| {
            let received = match service {
                Service::Server(server) => server.finish()?,
                Service::Refusing(_) | Service::NoHosts => Vec::new(),
            };
            Ok((name, received))
        });
        calls.collect()
    }
}

// === impl Service ===

impl Service {
    fn start(cluster: &Cluster) -> Result<Self> {
        Ok(match cluster {
            Cluster::Answers(answers) => Self::Server(Upstream::start(answers)?),
            Cluster::Echo => Self::Server(Upstream::start(&[])?),
            Cluster::Refused => {
                let socket = TcpSocket::new_v4()?;
                socket.bind("127.0.0.1:0".parse()?)?;
                Self::Refusing(socket)
            }
            Cluster::NoHosts => Self::NoHosts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_cluster_refuses_connections() {
        let stated = [
            ("gone".to_owned(), Cluster::Refused),
            ("empty".to_owned(), Cluster::NoHosts),
            ("echo".to_owned(), Cluster::Echo),
        ];
        let clusters = Clusters::start(&stated.into()).expect("clusters");
        let addresses = clusters.addresses().expect("addresses");
        let gone = addresses["gone"].expect("an address");
        let error = std::net::TcpStream::connect(gone).expect_err("nothing listens");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        assert_eq!(addresses["empty"], None);
        assert!(clusters.gate("echo").is_some() && clusters.gate("gone").is_none());
        let calls = clusters.finish().expect("calls");
        assert!(calls.len() == 3 && calls.values().all(Vec::is_empty));
    }
}
