//! Envoy's `%…%` operators that a plugin can evaluate, and the attributes from which they are evaluated.

use plugin_matching::read::push_names;
use tidegate_guest::FieldName;

use crate::decimal::{metadata_number, push_decimal};
use crate::query;
use crate::source::{Message, Source, add_name};
use crate::time::TimeFormat;

/// An operator with its arguments.
#[derive(Debug, PartialEq, Eq)]
pub enum Operator {
    /// `REQ`, `RESP`, `TRAILER`: a field, or else the alternative one.
    Field(Message, FieldName, Option<FieldName>),
    /// An operator of [`ATTRIBUTES`].
    Attribute(&'static Attribute),
    /// `DYNAMIC_METADATA` and the like: a value, which can be a string, a number or a boolean.
    Metadata(Vec<String>),
    /// `FILTER_STATE`: an object of the filter state as a string.
    FilterState(String),
    /// `PATH`: of the client or as it is now, with or without the query.
    Path {
        /// Whether the path before Envoy's rewrite counts.
        original: bool,
        /// Whether the path as it is now counts.
        current: bool,
        /// Whether the query is part of it.
        query: bool,
    },
    /// `QUERY_PARAM`: the first value of a parameter of the query, decoded.
    QueryParameter(String),
    /// `START_TIME`: when the request arrived.
    StartTime(TimeFormat),
}

/// An operator that takes no arguments, and the attribute that has its value.
#[derive(Debug, PartialEq, Eq)]
pub struct Attribute {
    /// The operator.
    pub name: &'static str,
    /// The path of the attribute.
    pub path: [&'static str; 2],
    /// Which part of the attribute is the value.
    pub part: Part,
}

/// Where Envoy keeps the path that it has rewritten.
const ORIGINAL_PATH: &str = "x-envoy-original-path";

/// Which part of an attribute is the value of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A string.
    Text,
    /// A string whose spaces become underscores.
    Word,
    /// An integer, in decimal.
    Integer,
    /// The IP address of an address with a port, without the brackets of IPv6.
    Address,
    /// The port.
    Port,
}

/// The operators that take no arguments, in alphabetic order.
pub const ATTRIBUTES: &[Attribute] = &[
    attribute("CONNECTION_ID", ["connection", "id"], Part::Integer),
    attribute(
        "DOWNSTREAM_LOCAL_ADDRESS",
        ["destination", "address"],
        Part::Text,
    ),
    attribute(
        "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
        ["destination", "address"],
        Part::Address,
    ),
    attribute(
        "DOWNSTREAM_LOCAL_PORT",
        ["destination", "address"],
        Part::Port,
    ),
    attribute(
        "DOWNSTREAM_LOCAL_SUBJECT",
        ["connection", "subject_local_certificate"],
        Part::Text,
    ),
    attribute(
        "DOWNSTREAM_LOCAL_URI_SAN",
        ["connection", "uri_san_local_certificate"],
        Part::Text,
    ),
    attribute(
        "DOWNSTREAM_PEER_FINGERPRINT_256",
        ["connection", "sha256_peer_certificate_digest"],
        Part::Text,
    ),
    attribute(
        "DOWNSTREAM_PEER_SUBJECT",
        ["connection", "subject_peer_certificate"],
        Part::Text,
    ),
    attribute(
        "DOWNSTREAM_PEER_URI_SAN",
        ["connection", "uri_san_peer_certificate"],
        Part::Text,
    ),
    attribute(
        "DOWNSTREAM_REMOTE_ADDRESS",
        ["source", "address"],
        Part::Text,
    ),
    attribute(
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
        ["source", "address"],
        Part::Address,
    ),
    attribute("DOWNSTREAM_REMOTE_PORT", ["source", "address"], Part::Port),
    attribute(
        "DOWNSTREAM_TLS_VERSION",
        ["connection", "tls_version"],
        Part::Text,
    ),
    attribute("PROTOCOL", ["request", "protocol"], Part::Text),
    attribute(
        "REQUESTED_SERVER_NAME",
        ["connection", "requested_server_name"],
        Part::Text,
    ),
    attribute("RESPONSE_CODE", ["response", "code"], Part::Integer),
    attribute(
        "RESPONSE_CODE_DETAILS",
        ["response", "code_details"],
        Part::Word,
    ),
    attribute("ROUTE_NAME", ["xds", "route_name"], Part::Text),
    attribute("STREAM_ID", ["request", "id"], Part::Text),
    attribute("UPSTREAM_CLUSTER", ["xds", "cluster_name"], Part::Text),
    attribute("UPSTREAM_HOST", ["upstream", "address"], Part::Text),
    attribute(
        "UPSTREAM_LOCAL_ADDRESS",
        ["upstream", "local_address"],
        Part::Text,
    ),
    attribute(
        "UPSTREAM_REMOTE_ADDRESS",
        ["upstream", "address"],
        Part::Text,
    ),
    attribute(
        "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
        ["upstream", "address"],
        Part::Address,
    ),
    attribute("UPSTREAM_REMOTE_PORT", ["upstream", "address"], Part::Port),
];

/// The operators that take arguments.
pub const WITH_ARGUMENTS: &[(&str, Arguments)] = &[
    ("REQ", Arguments::Names(Message::Request)),
    ("REQUEST_HEADER", Arguments::Names(Message::Request)),
    ("RESP", Arguments::Names(Message::Response)),
    ("RESPONSE_HEADER", Arguments::Names(Message::Response)),
    ("TRAILER", Arguments::Names(Message::ResponseTrailers)),
    (
        "RESPONSE_TRAILER",
        Arguments::Names(Message::ResponseTrailers),
    ),
    ("DYNAMIC_METADATA", Arguments::Keys(Some("DYNAMIC"))),
    ("CLUSTER_METADATA", Arguments::Keys(Some("CLUSTER"))),
    ("UPSTREAM_METADATA", Arguments::Keys(Some("UPSTREAM_HOST"))),
    ("METADATA", Arguments::Keys(None)),
    ("FILTER_STATE", Arguments::Object),
    ("PATH", Arguments::Path),
    ("QUERY_PARAM", Arguments::Parameter),
    ("START_TIME", Arguments::Time),
];

/// What an operator takes in parentheses.
#[derive(Clone, Copy, Debug)]
pub enum Arguments {
    /// The name of a field of a message, and perhaps of an alternative one.
    Names(Message),
    /// The namespace and the keys of metadata of this kind, or of the kind that stands before them.
    Keys(Option<&'static str>),
    /// The key of an object of the filter state.
    Object,
    /// Which path it is.
    Path,
    /// The name of a query parameter.
    Parameter,
    /// A format.
    Time,
}

/// The kinds of metadata, and where their attributes are.
const METADATA: [(&str, &[&str]); 4] = [
    ("DYNAMIC", &["metadata"]),
    ("CLUSTER", &["xds", "cluster_metadata"]),
    ("UPSTREAM_HOST", &["xds", "upstream_host_metadata"]),
    ("ROUTE", &["xds", "route_metadata"]),
];

/// What the first argument of `PATH` says: whether the query is part of it.
const QUERIES: [(&str, bool); 3] = [("", true), ("WQ", true), ("NQ", false)];

/// What the second argument of `PATH` says: whether the original path counts, and whether the current one does.
const PATHS: [(&str, (bool, bool)); 4] = [
    ("", (true, true)),
    ("ORIG_OR_PATH", (true, true)),
    ("ORIG", (true, false)),
    ("PATH", (false, true)),
];

const fn attribute(name: &'static str, path: [&'static str; 2], part: Part) -> Attribute {
    Attribute { name, path, part }
}

/// Returns what a table has under a name.
fn find<T: Copy>(table: &[(&str, T)], name: &str) -> Option<T> {
    let mut rows = table.iter();
    rows.find(|(other, _)| *other == name).map(|(_, it)| *it)
}

/// Finds an operator by its name. An error says what is wrong, with all names if there is no such operator.
pub fn parse_operator(
    name: &str,
    arguments: Option<&str>,
    limited: bool,
) -> Result<Operator, String> {
    let operator = match ATTRIBUTES.iter().find(|attribute| attribute.name == name) {
        Some(_) if arguments.is_some() || limited => Err("takes no arguments and no length"),
        Some(attribute) => Ok(Operator::Attribute(attribute)),
        None => match find(WITH_ARGUMENTS, name) {
            Some(kind) => parse_arguments(kind, arguments.unwrap_or_default(), limited),
            None => return Err(unsupported(name)),
        },
    };
    operator.map_err(|reason| about(name, reason))
}

fn parse_arguments(kind: Arguments, given: &str, limited: bool) -> Result<Operator, &'static str> {
    let separator = match kind {
        Arguments::Names(_) => '?',
        _ => ':',
    };
    let (first, second) = match given.split_once(separator) {
        Some((first, second)) => (first, Some(second)),
        None => (given, None),
    };
    match kind {
        Arguments::Names(message) => {
            // Envoy takes pseudo-headers in any case.
            let named = |text: &str| FieldName::new(&text.to_ascii_lowercase());
            match (named(first), second.map(named)) {
                (Some(main), None) => Ok(Operator::Field(message, main, None)),
                (Some(main), Some(Some(alternative))) => {
                    Ok(Operator::Field(message, main, Some(alternative)))
                }
                _ => Err("expects the name of a header, or two of them as in `X?Y`"),
            }
        }
        Arguments::Path => {
            let query = find(&QUERIES, first).ok_or("expects `WQ` or `NQ` first")?;
            let (original, current) = find(&PATHS, second.unwrap_or_default())
                .ok_or("expects `ORIG`, `PATH` or `ORIG_OR_PATH` second")?;
            Ok(Operator::Path {
                original,
                current,
                query,
            })
        }
        Arguments::Time if limited => Err("takes no length"),
        Arguments::Time => TimeFormat::parse(given).map(Operator::StartTime),
        Arguments::Parameter if given.is_empty() => Err("expects an argument"),
        Arguments::Parameter => Ok(Operator::QueryParameter(given.to_owned())),
        Arguments::Object if second == Some("PLAIN") && !first.is_empty() => {
            Ok(Operator::FilterState(first.to_owned()))
        }
        Arguments::Object => Err("is supported in the form `FILTER_STATE(key:PLAIN)`"),
        Arguments::Keys(kind) => {
            let (kind, keys) = match kind {
                Some(kind) => (kind, given),
                None => (first, second.unwrap_or_default()),
            };
            let root = find(&METADATA, kind)
                .ok_or("expects `DYNAMIC`, `CLUSTER`, `UPSTREAM_HOST` or `ROUTE` first")?;
            let mut path: Vec<String> = Vec::new();
            for key in root.iter().copied().chain(["filter_metadata"]) {
                path.push(key.to_owned());
            }
            let fixed = path.len();
            for key in keys.split(':') {
                if key.is_empty() {
                    return Err("expects a namespace and a key");
                }
                path.push(key.to_owned());
            }
            if path.len() < fixed + 2 {
                return Err("expects a namespace and a key");
            }
            Ok(Operator::Metadata(path))
        }
    }
}

/// Returns the error for an operator that is not supported.
fn unsupported(name: &str) -> String {
    let mut reason = about(name, "is not supported, expected ");
    push_names(&mut reason, WITH_ARGUMENTS.iter().map(|(name, _)| *name));
    reason.push_str(" with arguments, or ");
    push_names(
        &mut reason,
        ATTRIBUTES.iter().map(|attribute| attribute.name),
    );
    reason
}

/// An error about an operator.
fn about(name: &str, reason: &str) -> String {
    let mut text = String::from("the operator `");
    text.push_str(name);
    text.push_str("` ");
    text.push_str(reason);
    text
}

impl Operator {
    /// Adds the names of the fields of a message that it reads.
    pub fn fields(&self, of: Message, names: &mut Vec<String>) {
        match self {
            Operator::Field(message, name, alternative) if *message == of => {
                for name in [Some(name), alternative.as_ref()].into_iter().flatten() {
                    add_name(names, name);
                }
            }
            Operator::Path { .. } | Operator::QueryParameter(_) if of == Message::Request => {
                add_name(names, ":path");
                add_name(names, ORIGINAL_PATH);
            }
            _ => {}
        }
    }

    /// The value for a stream, if there is one.
    pub fn evaluate(&self, source: &impl Source) -> Option<Vec<u8>> {
        match self {
            Operator::Field(message, name, alternative) => {
                source.field(*message, name).or_else(|| {
                    let alternative = alternative.as_deref()?;
                    source.field(*message, alternative)
                })
            }
            Operator::Attribute(attribute) => {
                part(source.property(&attribute.path)?, attribute.part)
            }
            Operator::Metadata(path) => {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                metadata(source.property(&path)?)
            }
            Operator::FilterState(key) => source.property(&["filter_state", key]),
            Operator::Path {
                original,
                current,
                query,
            } => {
                let mut path = None;
                if *original {
                    path = source.field(Message::Request, ORIGINAL_PATH);
                }
                if path.is_none() && *current {
                    path = source.field(Message::Request, ":path");
                }
                let mut path = path?;
                if !query && let Some(end) = path.iter().position(|byte| *byte == b'?') {
                    path.truncate(end);
                }
                Some(path)
            }
            Operator::QueryParameter(name) => {
                let path = source.field(Message::Request, ":path")?;
                query::first_value(&path, name.as_bytes())
            }
            Operator::StartTime(format) => {
                let time = source.property(&["request", "time"])?;
                let time = u64::from_le_bytes(time.try_into().ok()?);
                let mut value = Vec::new();
                format.render(time, &mut value);
                Some(value)
            }
        }
    }
}

fn part(mut bytes: Vec<u8>, part: Part) -> Option<Vec<u8>> {
    match part {
        Part::Text => Some(bytes),
        Part::Word => {
            for byte in &mut bytes {
                if byte.is_ascii_whitespace() {
                    *byte = b'_';
                }
            }
            Some(bytes)
        }
        Part::Integer => {
            let number = i64::from_le_bytes(bytes.try_into().ok()?);
            let mut text = Vec::new();
            if number < 0 {
                text.push(b'-');
            }
            push_decimal(&mut text, number.unsigned_abs(), 1);
            Some(text)
        }
        Part::Address | Part::Port => {
            let colon = bytes.iter().rposition(|byte| *byte == b':')?;
            let (address, port) = bytes.split_at_checked(colon)?;
            Some(match part {
                Part::Port => port.get(1..)?.to_vec(),
                _ => {
                    let inside = address
                        .strip_prefix(b"[")
                        .and_then(|it| it.strip_suffix(b"]"));
                    inside.unwrap_or(address).to_vec()
                }
            })
        }
    }
}

/// A value of metadata as text. Its type is not passed on: a string is its bytes, a boolean one byte, and a number a double. A
/// string that can be in a header has no control characters; every integer up to 2^36, and every boolean, has some.
fn metadata(bytes: Vec<u8>) -> Option<Vec<u8>> {
    let is_text = !bytes.iter().any(|byte| *byte < b' ') && std::str::from_utf8(&bytes).is_ok();
    match (bytes.as_slice(), <[u8; 8]>::try_from(bytes.as_slice())) {
        ([0], _) => Some(b"false".to_vec()),
        ([1], _) => Some(b"true".to_vec()),
        (_, Ok(number)) if !is_text => metadata_number(f64::from_le_bytes(number)),
        _ => Some(bytes),
    }
}
