//! Well-known attributes of a stream, with their types. They are [properties](HttpStream::property) that the proxy sets.
//!
//! Each function names the attribute as Envoy's documentation does. It returns `None` if the proxy does not have the attribute in this
//! phase, and [`Error::Malformed`] if the value does not have the expected type. Tidegate's own proxy has only some of them:
//! `docs/host-differences.md` lists these. Parts of the request and the response, such as the path and the status, are methods of
//! [`HttpStream`], which do not need attributes.
//!
//! ```
//! use std::time::Duration;
//!
//! use tidegate_guest::prelude::*;
//!
//! struct Slow;
//!
//! #[plugin]
//! impl Plugin for Slow {
//!     type Config = ();
//!     type Stream = ();
//!
//!     fn configure(_: ()) -> Result<Self, ConfigError> {
//!         Ok(Slow)
//!     }
//!
//!     fn on_log(&self, _: &mut (), http: &mut HttpStream) {
//!         let duration = attributes::request_duration(http).or_log("read the duration").flatten();
//!         if duration.is_some_and(|duration| duration > Duration::from_secs(1)) {
//!             let details = attributes::response_code_details(http).ok().flatten();
//!             log::warn!("slow: {}", details.unwrap_or_default());
//!         }
//!     }
//! }
//! ```

use std::time::{Duration, SystemTime};

use crate::{Error, HttpStream, property};

type Attribute<T> = Result<Option<T>, Error>;

// === The client and the connection to it ===

/// `source.address`: the address of the client with its port, such as `10.0.0.1:43210` or `[::1]:43210`.
/// [`HttpStream::client_address`] returns it without the port.
pub fn source_address(http: &HttpStream) -> Attribute<String> {
    http.property_str(&["source", "address"])
}

/// `source.port`: the port of the client.
pub fn source_port(http: &HttpStream) -> Attribute<u16> {
    number(http, &["source", "port"])
}

/// `destination.address`: the address on which the proxy has accepted the connection, with its port.
pub fn destination_address(http: &HttpStream) -> Attribute<String> {
    http.property_str(&["destination", "address"])
}

/// `destination.port`: the port on which the proxy has accepted the connection.
pub fn destination_port(http: &HttpStream) -> Attribute<u16> {
    number(http, &["destination", "port"])
}

/// `connection.id`: a number for the connection of the client, unique in the proxy.
pub fn connection_id(http: &HttpStream) -> Attribute<u64> {
    number(http, &["connection", "id"])
}

/// `connection.mtls`: whether the client has presented a certificate.
pub fn connection_mtls(http: &HttpStream) -> Attribute<bool> {
    let value = http.property(&["connection", "mtls"])?;
    value.map(property::boolean).transpose()
}

/// `connection.requested_server_name`: the server name (SNI) that the client asked for. Empty if there was none.
pub fn connection_requested_server_name(http: &HttpStream) -> Attribute<String> {
    http.property_str(&["connection", "requested_server_name"])
}

/// `connection.tls_version`: the version of TLS, such as `TLSv1.3`.
pub fn connection_tls_version(http: &HttpStream) -> Attribute<String> {
    http.property_str(&["connection", "tls_version"])
}

/// `connection.subject_peer_certificate`: the subject of the client's certificate.
pub fn connection_subject_peer_certificate(http: &HttpStream) -> Attribute<String> {
    http.property_str(&["connection", "subject_peer_certificate"])
}

/// `connection.uri_san_peer_certificate`: the first URI among the alternative names of the client's certificate. In a mesh, it is the
/// identity of the client, such as `spiffe://cluster.local/ns/default/sa/frontend`.
pub fn connection_uri_san_peer_certificate(http: &HttpStream) -> Attribute<String> {
    http.property_str(&["connection", "uri_san_peer_certificate"])
}

// === The request ===

/// `request.id`: the value of `x-request-id`.
pub fn request_id(http: &HttpStream) -> Attribute<String> {
    http.property_str(&["request", "id"])
}

/// `request.protocol`: `HTTP/1.0`, `HTTP/1.1`, `HTTP/2` or `HTTP/3`.
pub fn request_protocol(http: &HttpStream) -> Attribute<String> {
    http.property_str(&["request", "protocol"])
}

/// `request.time`: when the first byte of the request was received.
pub fn request_time(http: &HttpStream) -> Attribute<SystemTime> {
    let time = duration(http, &["request", "time"])?;
    Ok(time.and_then(|time| SystemTime::UNIX_EPOCH.checked_add(time)))
}

/// `request.duration`: the time from the first byte of the request to the end of the stream, with a resolution of nanoseconds. In Envoy
/// only in [`on_log`](crate::Plugin::on_log).
pub fn request_duration(http: &HttpStream) -> Attribute<Duration> {
    duration(http, &["request", "duration"])
}

/// `request.size`: the size of the request body in bytes.
pub fn request_size(http: &HttpStream) -> Attribute<u64> {
    number(http, &["request", "size"])
}

/// `request.total_size`: the size of the request in bytes, with its headers. In Envoy only in [`on_log`](crate::Plugin::on_log).
pub fn request_total_size(http: &HttpStream) -> Attribute<u64> {
    number(http, &["request", "total_size"])
}

// === The response ===

/// `response.code_details`: why the response has its status, such as `via_upstream`, or the [details](crate::LocalResponse::details) of
/// a local response.
pub fn response_code_details(http: &HttpStream) -> Attribute<String> {
    http.property_str(&["response", "code_details"])
}

/// `response.flags`: the bits of Envoy's response flags, which say what went wrong with the upstream.
pub fn response_flags(http: &HttpStream) -> Attribute<u64> {
    number(http, &["response", "flags"])
}

/// `response.grpc_status`: the gRPC status, from 0 to 16.
pub fn response_grpc_status(http: &HttpStream) -> Attribute<u32> {
    number(http, &["response", "grpc_status"])
}

/// `response.size`: the size of the response body in bytes.
pub fn response_size(http: &HttpStream) -> Attribute<u64> {
    number(http, &["response", "size"])
}

/// `response.total_size`: the size of the response in bytes, with its headers. In Envoy only in [`on_log`](crate::Plugin::on_log).
pub fn response_total_size(http: &HttpStream) -> Attribute<u64> {
    number(http, &["response", "total_size"])
}

/// `response.backend_latency`: the time between the last byte that was sent to the upstream and the first one that was received from it,
/// with a resolution of nanoseconds.
pub fn response_backend_latency(http: &HttpStream) -> Attribute<Duration> {
    duration(http, &["response", "backend_latency"])
}

// === The upstream and the configuration of the proxy ===

/// `upstream.address`: the address of the upstream with its port.
pub fn upstream_address(http: &HttpStream) -> Attribute<String> {
    http.property_str(&["upstream", "address"])
}

/// `upstream.port`: the port of the upstream.
pub fn upstream_port(http: &HttpStream) -> Attribute<u16> {
    number(http, &["upstream", "port"])
}

/// `upstream.transport_failure_reason`: why the connection to the upstream failed. Empty if it did not.
pub fn upstream_transport_failure_reason(http: &HttpStream) -> Attribute<String> {
    http.property_str(&["upstream", "transport_failure_reason"])
}

/// `xds.cluster_name`: the name of the cluster to which the request is routed.
pub fn cluster_name(http: &HttpStream) -> Attribute<String> {
    http.property_str(&["xds", "cluster_name"])
}

/// `xds.route_name`: the name of the route that matches the request.
pub fn route_name(http: &HttpStream) -> Attribute<String> {
    http.property_str(&["xds", "route_name"])
}

/// `xds.virtual_host_name`: the name of the virtual host that matches the request.
pub fn virtual_host_name(http: &HttpStream) -> Attribute<String> {
    http.property_str(&["xds", "virtual_host_name"])
}

/// `xds.filter_chain_name`: the name of the filter chain of the listener.
pub fn filter_chain_name(http: &HttpStream) -> Attribute<String> {
    http.property_str(&["xds", "filter_chain_name"])
}

fn number<T: TryFrom<i64>>(http: &HttpStream, path: &[&str]) -> Attribute<T> {
    let value = http.property_i64(path)?;
    let number = value.map(T::try_from).transpose();
    number.map_err(|_| Error::Malformed)
}

fn duration(http: &HttpStream, path: &[&str]) -> Attribute<Duration> {
    Ok(number(http, path)?.map(Duration::from_nanos))
}
