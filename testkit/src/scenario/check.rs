//! Checks of a scenario that its types cannot express.

use std::collections::{BTreeMap, BTreeSet};

use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;
use tidegate_deploy::envoy::UPSTREAM_CLUSTER;

use super::{
    Answer, AnswerPart, AtUpstream, Awaited, Cluster, Expect, Plugin, Received, Scenario, Step,
};
use crate::metadata::{Fields, Metadata, MetadataValue};
use crate::octets::Octets;
use crate::runtimes::RuntimeKind;
use crate::verdict::Place;

/// The location of a mistake, and its description.
type Wrong = (Place, String);

/// A request that a `begin` step has started and that is in progress.
struct Begun {
    /// The index of the step.
    step: usize,
    /// Whether `chunk` steps can send more of its body.
    is_open: bool,
}

// === impl Scenario ===

impl Scenario {
    /// Checks what the types cannot express.
    pub(super) fn check(&self) -> Result<(), Wrong> {
        must(
            !self.about.trim().is_empty(),
            at("about"),
            "`about` is empty: describe what the scenario shows",
        )?;
        must(
            !self.plugins.is_empty(),
            at("plugins"),
            "`plugins` is empty: add a plugin, or remove the key to run only the plugin under test",
        )?;
        must(
            self.configuration.is_none(),
            at("configuration"),
            "`configuration` cannot be combined with `plugins`: set it in the plugin",
        )?;
        must(
            self.configuration_file.is_none(),
            at("configuration-file"),
            "`configuration-file` cannot be combined with `plugins`: set it in the plugin",
        )?;
        chain(&at("plugins"), &self.plugins)?;
        for (runtime, reason) in &self.not_in {
            let place = at("not-in").key(runtime);
            must(
                RuntimeKind::all().iter().any(|kind| kind.is_named(runtime)),
                place.clone(),
                &format!(
                    "`{runtime}` in `not-in` is not a runtime: expected one of {}, or `envoy` for all releases of Envoy",
                    RuntimeKind::all().map(RuntimeKind::name).join(", ")
                ),
            )?;
            must(
                !reason.trim().is_empty(),
                place,
                &format!(
                    "`not-in` has no reason for `{runtime}`: write why the scenario is skipped"
                ),
            )?;
        }
        for (number, property) in self.properties.iter().enumerate() {
            let wrong = |error: anyhow::Error| (at("properties").item(number), error.to_string());
            property.check().map_err(wrong)?;
        }
        self.check_metadata()?;
        must(
            self.start.refused || !self.steps.is_empty(),
            at("steps"),
            "missing field `steps`: add at least one step, or set `start: { refused: true }`",
        )?;
        must(
            !self.start.refused || self.steps.is_empty(),
            at("steps"),
            "`steps` cannot be combined with `start: { refused: true }`: remove one of them",
        )?;
        must(
            !self.start.refused || !self.start.logs.is_empty(),
            at("start"),
            "`start: { refused: true }` requires a reason: add the line in which the plugin logs it to `start.logs`",
        )?;
        answers(&at("upstream"), &self.upstream)?;
        self.check_clusters()?;
        self.check_requests()?;
        self.check_awaited()?;
        self.check_reloads()
    }

    /// Checks that plugins can name each value in a path.
    fn check_metadata(&self) -> Result<(), Wrong> {
        let Metadata { route, dynamic } = &self.metadata;
        for (key, namespaces) in [("route", route), ("dynamic", dynamic)] {
            for (namespace, fields) in namespaces {
                let place = at("metadata").key(key).key(namespace);
                metadata_key(&place, namespace)?;
                metadata_keys(&place, fields)?;
            }
        }
        Ok(())
    }

    fn check_clusters(&self) -> Result<(), Wrong> {
        for (name, cluster) in &self.clusters {
            let place = at("clusters").key(name);
            must(
                !name.is_empty(),
                place.clone(),
                "the name of a cluster is empty",
            )?;
            must(
                name != UPSTREAM_CLUSTER,
                place.clone(),
                &format!(
                    "`{UPSTREAM_CLUSTER}` is the name of the upstream: choose another name for the cluster"
                ),
            )?;
            if let Cluster::Answers(stated) = cluster {
                let place = place.key("answers");
                must(
                    !stated.is_empty(),
                    place.clone(),
                    "`answers` is empty: add a response, or write `echo` for a cluster that echoes requests",
                )?;
                answers(&place, stated)?;
            }
        }
        for (name, calls) in &self.calls {
            let place = at("calls").key(name);
            must(
                self.clusters.contains_key(name),
                place.clone(),
                &unknown(name),
            )?;
            for (number, call) in calls.iter().enumerate() {
                received(&place.clone().item(number), call)?;
            }
        }
        Ok(())
    }

    /// Checks requests and their expectations, and that steps continue only requests that are in progress.
    fn check_requests(&self) -> Result<(), Wrong> {
        let mut begun: BTreeMap<&str, Begun> = BTreeMap::new();
        for (number, step) in self.steps.iter().enumerate() {
            let place = at("steps").item(number);
            match step {
                Step::Request(request) => {
                    let place = place.key("request");
                    head(&place, &request.method, &request.path, &request.headers)?;
                    fields(&place.clone().key("trailers"), &request.trailers)?;
                    expected(&place.key("expect"), &request.expect)?;
                }
                Step::Begin(begin) => {
                    let place = place.key("begin");
                    head(&place, &begin.method, &begin.path, &begin.headers)?;
                    must(
                        !begin.open || begin.body.is_none(),
                        place.clone().key("body"),
                        "`body` cannot be combined with `open: true`: send the body with `chunk` steps",
                    )?;
                    let started = Begun {
                        step: number,
                        is_open: begin.open,
                    };
                    must(
                        begun.insert(&begin.id, started).is_none(),
                        place.key("id"),
                        &format!(
                            "a request `{}` is already in progress: choose another `id`, or finish that request first",
                            begin.id
                        ),
                    )?;
                }
                Step::Chunk(chunk) => {
                    let place = place.key("chunk");
                    let Some(request) = begun.get_mut(chunk.id.as_str()) else {
                        return Err((place.key("id"), not_begun(&chunk.id)));
                    };
                    must(
                        request.is_open,
                        place,
                        &format!(
                            "the body of `{}` cannot have more chunks: it was started without `open: true`, or its body has ended",
                            chunk.id
                        ),
                    )?;
                    request.is_open = !chunk.end;
                }
                Step::Finish(finish) => {
                    let place = place.key("finish");
                    must(
                        begun.remove(finish.id.as_str()).is_some(),
                        place.clone().key("id"),
                        &not_begun(&finish.id),
                    )?;
                    expected(&place.key("expect"), &finish.expect)?;
                }
                Step::Hangup(id) => must(
                    begun.remove(id.as_str()).is_some(),
                    place.key("hangup"),
                    &not_begun(id),
                )?,
                _ => {}
            }
        }
        match begun.first_key_value() {
            None => Ok(()),
            Some((id, request)) => Err((
                at("steps").item(request.step).key("begin"),
                format!("the request `{id}` has no `finish` or `hangup` step: add one"),
            )),
        }
    }

    /// Checks that `arrived` and `release` steps wait for something that can happen.
    fn check_awaited(&self) -> Result<(), Wrong> {
        for (number, step) in self.steps.iter().enumerate() {
            let place = at("steps").item(number);
            let (awaited, place, is_release) = match step {
                Step::Arrived(awaited) => (awaited, place.key("arrived"), false),
                Step::Release(awaited) => (awaited, place.key("release"), true),
                _ => continue,
            };
            let stated = self
                .responses(awaited)
                .map_err(|wrong| (place.clone(), wrong))?;
            let name = awaited.cluster();
            let mut of_path = String::new();
            let mut meant: Vec<&Answer> = stated.iter().collect();
            if let Some(awaited_path) = awaited.path() {
                path(&place, awaited_path)?;
                of_path = format!(" for `{awaited_path}`");
                meant.retain(|answer| answer.path == awaited_path);
                must(
                    // A server without responses echoes requests for any path.
                    stated.is_empty() || !meant.is_empty(),
                    place.clone().key("path"),
                    &format!("`{name}` has no response{of_path}: add it, or correct the path"),
                )?;
            }
            must(
                !is_release || meant.iter().any(|answer| answer.hold.is_some()),
                place,
                &format!(
                    "`{name}` has no response{of_path} with `hold: head` or `hold: body` that could be released"
                ),
            )?;
        }
        Ok(())
    }

    /// Returns the responses of the server that should receive the requests. The list is empty if it echoes requests.
    fn responses(&self, awaited: &Awaited) -> Result<&[Answer], String> {
        match (awaited.cluster(), self.clusters.get(awaited.cluster())) {
            (UPSTREAM_CLUSTER, _) => Ok(&self.upstream),
            (_, Some(Cluster::Answers(stated))) => Ok(stated),
            (_, Some(Cluster::Echo)) => Ok(&[]),
            (name, Some(Cluster::Refused | Cluster::NoHosts)) => Err(format!(
                "no request can arrive at `{name}`, which is `refused` or `no-hosts`"
            )),
            (name, None) => Err(unknown(name)),
        }
    }

    fn check_reloads(&self) -> Result<(), Wrong> {
        for (number, step) in self.steps.iter().enumerate() {
            let Step::Reload(reload) = step else {
                continue;
            };
            let Some(plugins) = &reload.plugins else {
                continue;
            };
            let place = at("steps").item(number).key("reload").key("plugins");
            must(
                !plugins.is_empty(),
                place.clone(),
                "`plugins` is empty: add a plugin, or remove the key to start the same plugins again",
            )?;
            chain(&place, plugins)?;
        }
        Ok(())
    }
}

fn at(key: &str) -> Place {
    Place::default().key(key)
}

fn must(holds: bool, place: Place, wrong: &str) -> Result<(), Wrong> {
    match holds {
        true => Ok(()),
        false => Err((place, wrong.to_owned())),
    }
}

/// Checks the plugins of a chain.
fn chain(place: &Place, plugins: &[Plugin]) -> Result<(), Wrong> {
    let mut names = BTreeSet::new();
    for (number, plugin) in plugins.iter().enumerate() {
        let place = place.clone().item(number);
        let name = plugin.name();
        must(
            plugin.configuration.is_none() || plugin.configuration_file.is_none(),
            place.clone(),
            "`configuration` cannot be combined with `configuration-file`: remove one of them",
        )?;
        must(
            names.insert(name),
            place,
            &format!("two plugins have the name `{name}`; set another `name` for one of them"),
        )?;
    }
    Ok(())
}

/// Checks the keys of a mapping in metadata, and those of the mappings in it.
fn metadata_keys(place: &Place, fields: &Fields) -> Result<(), Wrong> {
    for (key, value) in fields {
        let place = place.clone().key(key);
        metadata_key(&place, key)?;
        if let MetadataValue::Mapping(fields) = value {
            metadata_keys(&place, fields)?;
        }
    }
    Ok(())
}

/// Checks a key or namespace, which is a segment of the paths of properties.
fn metadata_key(place: &Place, key: &str) -> Result<(), Wrong> {
    must(
        !key.is_empty() && !key.contains('\0'),
        place.clone(),
        "a key in `metadata` is empty or has a zero byte",
    )
}

fn unknown(name: &str) -> String {
    format!("there is no cluster `{name}`: add it to `clusters`")
}

fn not_begun(id: &str) -> String {
    format!("no request `{id}` is in progress: start it with a `begin` step")
}

/// Checks the head of a request.
fn head(
    place: &Place,
    method: &str,
    target: &str,
    headers: &[(String, Octets)],
) -> Result<(), Wrong> {
    must(
        Method::from_bytes(method.as_bytes()).is_ok(),
        place.clone().key("method"),
        &format!("`{method}` is not a valid method: expected a name such as `GET`"),
    )?;
    // A request for the server itself, and not for one of its resources.
    if (method, target) != ("OPTIONS", "*") {
        path(place, target)?;
    }
    fields(&place.clone().key("headers"), headers)
}

/// Checks a path with its query.
fn path(place: &Place, path: &str) -> Result<(), Wrong> {
    let place = place.clone().key("path");
    must(
        path.starts_with('/'),
        place.clone(),
        &format!("`{path}` is not a valid path: it must start with `/`"),
    )?;
    // The parser accepts a fragment and removes it.
    must(
        PathAndQuery::try_from(path).is_ok() && !path.contains('#'),
        place,
        &format!("`{path}` is not a valid path: encode other characters as `%XX`"),
    )
}

/// Checks headers or trailers that are sent.
fn fields(place: &Place, fields: &[(String, Octets)]) -> Result<(), Wrong> {
    for (number, (name, value)) in fields.iter().enumerate() {
        let place = place.clone().item(number);
        must(
            HeaderName::try_from(name.as_str()).is_ok(),
            place.clone(),
            &no_name(name),
        )?;
        must(
            HeaderValue::from_bytes(&value.0).is_ok(),
            place,
            &format!(
                "the value of `{name}` contains a control character, which is not allowed in a header"
            ),
        )?;
    }
    Ok(())
}

fn no_name(name: &str) -> String {
    format!("`{name}` is not a valid header name: use letters, digits and `-`")
}

/// Checks the names of headers or trailers that are expected. All names are lowercase in transcripts, so that another name would
/// always be absent.
fn names(place: &Place, fields: &BTreeMap<String, Vec<Octets>>) -> Result<(), Wrong> {
    for name in fields.keys() {
        let place = place.clone().key(name);
        match HeaderName::try_from(name.as_str()) {
            Err(_) => return Err((place, no_name(name))),
            Ok(known) => must(
                known.as_str() == name,
                place,
                &format!("header names are compared in lowercase: write `{known}`"),
            )?,
        }
    }
    Ok(())
}

/// Checks what is expected of a response.
fn expected(place: &Place, expect: &Expect) -> Result<(), Wrong> {
    names(&place.clone().key("headers"), &expect.headers)?;
    names(&place.clone().key("trailers"), &expect.trailers)?;
    match &expect.upstream {
        Some(AtUpstream::Request(request)) => received(&place.clone().key("upstream"), request),
        Some(AtUpstream::Nothing) | None => Ok(()),
    }
}

/// Checks what is expected of a request.
fn received(place: &Place, request: &Received) -> Result<(), Wrong> {
    names(&place.clone().key("headers"), &request.headers)?;
    names(&place.clone().key("trailers"), &request.trailers)
}

fn answers(place: &Place, answers: &[Answer]) -> Result<(), Wrong> {
    for (number, answer) in answers.iter().enumerate() {
        let place = place.clone().item(number);
        path(&place, &answer.path)?;
        must(
            (200..=599).contains(&answer.status),
            place.clone().key("status"),
            &format!(
                "`status` is {}: expected an integer from 200 to 599",
                answer.status
            ),
        )?;
        fields(&place.clone().key("headers"), &answer.headers)?;
        fields(&place.clone().key("trailers"), &answer.trailers)?;
        must(
            answer.body.0.is_empty() || answer.chunks.is_empty(),
            place.clone().key("chunks"),
            "`chunks` cannot be combined with `body`: remove one of them",
        )?;
        must(
            answer.trailers.is_empty() || !answer.chunks.is_empty(),
            place.clone().key("trailers"),
            &format!(
                "the response for `{}` has `trailers`, which require `chunks`",
                answer.path
            ),
        )?;
        for (key, part) in [("hold", answer.hold), ("break", answer.breaks)] {
            must(
                part != Some(AnswerPart::Body)
                    || !answer.body.0.is_empty()
                    || !answer.chunks.is_empty(),
                place.clone().key(key),
                &format!(
                    "the response for `{}` has `{key}: body`, which requires `body` or `chunks`",
                    answer.path
                ),
            )?;
        }
    }
    Ok(())
}
