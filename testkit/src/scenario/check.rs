//! Checks of a scenario that its types cannot express.

use std::collections::BTreeSet;

use tidegate_deploy::envoy::UPSTREAM_CLUSTER;

use super::{Answer, AnswerPart, Cluster, Scenario, Step};
use crate::runtimes::RuntimeKind;
use crate::verdict::Place;

/// The location of a mistake, and its description.
type Wrong = (Place, String);

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
            "`plugins` is empty",
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
        let mut names = BTreeSet::new();
        for (number, plugin) in self.plugins.iter().enumerate() {
            let name = plugin.name();
            must(
                plugin.configuration.is_none() || plugin.configuration_file.is_none(),
                at("plugins").item(number),
                "`configuration` cannot be combined with `configuration-file`: remove one of them",
            )?;
            must(
                names.insert(name),
                at("plugins").item(number),
                &format!("two plugins have the name `{name}`; set another `name` for one of them"),
            )?;
        }
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
        self.check_awaited()
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
        for name in self.calls.keys() {
            must(
                self.clusters.contains_key(name),
                at("calls").key(name),
                &unknown(name),
            )?;
        }
        Ok(())
    }

    /// Checks that `arrived` and `release` steps wait for something that can happen.
    fn check_awaited(&self) -> Result<(), Wrong> {
        for (number, step) in self.steps.iter().enumerate() {
            let place = at("steps").item(number);
            let (name, place, is_release) = match step {
                Step::Arrived(name) => (name, place.key("arrived"), false),
                Step::Release(name) => (name, place.key("release"), true),
                _ => continue,
            };
            let stated: &[Answer] = match self.clusters.get(name) {
                _ if name == UPSTREAM_CLUSTER => &self.upstream,
                Some(Cluster::Answers(stated)) => stated,
                Some(Cluster::Echo) => &[],
                Some(Cluster::Refused | Cluster::NoHosts) => {
                    return Err((place, format!("no request can arrive at `{name}`")));
                }
                None => return Err((place, unknown(name))),
            };
            must(
                !is_release || stated.iter().any(|answer| answer.hold.is_some()),
                place,
                &format!(
                    "`{name}` has no response with `hold: head` or `hold: body` that could be released"
                ),
            )?;
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

fn unknown(name: &str) -> String {
    format!("there is no cluster `{name}`: add it to `clusters`")
}

fn answers(place: &Place, answers: &[Answer]) -> Result<(), Wrong> {
    for (number, answer) in answers.iter().enumerate() {
        let place = place.clone().item(number);
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
