//! Workloads as documents have them: pods, what makes pods of a template, and the `Gateway`s of the Gateway API for which istiod
//! makes the pods.
//!
//! Which `Gateway`s are whose, and what labels their pods get, is in `pilot/pkg/config/kube/gatewaycommon`
//! (`deploymentcontroller.go`, `classinfo.go`) and in `waypoint.yaml` and `kube-gateway.yaml` of the chart.

use std::collections::BTreeMap;

use super::read::{Object, Reader};
use super::{OrderError, Role, WAYPOINT_FOR, Workload};
use crate::yaml::Node;

/// Groups and kinds with a template of pods in their `spec`, and the way to it.
const TEMPLATES: [(&str, &str, &[&str]); 8] = [
    ("", "ReplicationController", &["template"]),
    ("apps", "Deployment", &["template"]),
    ("apps", "StatefulSet", &["template"]),
    ("apps", "DaemonSet", &["template"]),
    ("apps", "ReplicaSet", &["template"]),
    ("batch", "Job", &["template"]),
    ("batch", "CronJob", &["jobTemplate", "spec", "template"]),
    // Argo's, with a Deployment's fields. Where it names a Deployment instead of a template, that one is what tells of the pods.
    ("argoproj.io", "Rollout", &["template"]),
];

/// The group of `Gateway` and `GatewayClass`.
pub(super) const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";

/// The annotation that says what is injected into pods; Istio's chart of gateways has `gateway` there, whatever its labels.
const INJECTED: &str = "inject.istio.io/templates";

/// The label with a gateway's class.
const GATEWAY_CLASS_NAME: &str = "gateway.networking.k8s.io/gateway-class-name";

/// The classes that istiod makes by itself, and who takes care of theirs.
const BUILT_IN: [(&str, &str); 6] = [
    ("istio", GATEWAYS),
    ("istio-waypoint", WAYPOINTS),
    ("istio-east-west", "istio.io/eastwest-controller"),
    ("istio-remote", "istio.io/unmanaged-gateway"),
    ("istio-agentgateway", "istio.io/agentgateway-controller"),
    (
        "istio-agentgateway-waypoint",
        "istio.io/agentgateway-waypoint-controller",
    ),
];

/// Those whose Envoys handle requests. East-west gateways pass tunnels on, remote ones are elsewhere, and agentgateway runs no plugins.
const GATEWAYS: &str = "istio.io/gateway-controller";
const WAYPOINTS: &str = "istio.io/mesh-controller";

/// The `GatewayClass`es in the files, by name.
#[derive(Default)]
pub(super) struct Classes<'n>(BTreeMap<&'n str, Class<'n>>);

#[derive(Default)]
struct Class<'n> {
    controller: Option<&'n str>,
    /// What waypoints of this class handle, if they do not say so themselves.
    waypoint_for: Option<&'n str>,
}

// === impl Classes ===

impl<'n> Classes<'n> {
    /// Takes note of an object if it is a class.
    pub fn learn(&mut self, reader: &Reader<'_>, object: Object<'n>) -> Result<(), OrderError> {
        if (object.group(), object.kind) != (GATEWAY_GROUP, "GatewayClass") {
            return Ok(());
        }
        let get = |parts: &[&str]| follow(object.node, parts).and_then(Node::text);
        if let Some(name) = get(&["metadata", "name"]) {
            let class = Class {
                controller: get(&["spec", "controllerName"]),
                waypoint_for: get(&["metadata", "labels", WAYPOINT_FOR]),
            };
            self.0.insert(name, class);
            return Ok(());
        }
        Err(reader.fault(object.node, "the resource has no name"))
    }

    /// What the pods of a class's gateways do, if they take plugins. A class that nobody knows may be one of Istio's.
    fn role(&self, class: &str) -> Option<Role> {
        let built_in = || BUILT_IN.iter().find(|(name, _)| *name == class);
        let controller = match self.0.get(class) {
            Some(class) => class.controller,
            None => built_in().map(|(_, controller)| *controller),
        };
        match controller {
            None | Some(GATEWAYS) => Some(Role::Gateway),
            Some(WAYPOINTS) => Some(Role::Waypoint),
            Some(_) => None,
        }
    }
}

// === impl Reader ===

impl Reader<'_> {
    /// The pods that an object describes.
    pub fn workload(
        &self,
        object: Object<'_>,
        classes: &Classes<'_>,
    ) -> Result<Option<Workload>, OrderError> {
        let of = (object.group(), object.kind);
        if of == (GATEWAY_GROUP, "Gateway") {
            return self.gateway(object, classes);
        }
        let pod = match TEMPLATES
            .iter()
            .find(|(group, kind, _)| (*group, *kind) == of)
        {
            Some((_, _, way)) => object.node.get("spec").and_then(|spec| follow(spec, way)),
            None if of == ("", "Pod") => Some(object.node),
            None => None,
        };
        let Some(pod) = pod else {
            return Ok(None);
        };
        let (namespace, name) = self.name(object.node)?;
        let labels = self.labels(follow(pod, &["metadata", "labels"]))?;
        let mut workload = Workload::new(namespace, labels);
        let templates = follow(pod, &["metadata", "annotations", INJECTED]).and_then(Node::text);
        if workload.role == Role::Sidecar
            && templates.is_some_and(|all| all.split(',').any(|name| name.trim() == "gateway"))
        {
            workload.role = Role::Gateway;
        }
        workload.name = Some(format!("{}/{name}", object.kind));
        Ok(Some(workload))
    }

    /// The pods that istiod makes for a `Gateway`.
    pub fn gateway(
        &self,
        object: Object<'_>,
        classes: &Classes<'_>,
    ) -> Result<Option<Workload>, OrderError> {
        let (namespace, name) = self.name(object.node)?;
        let spec = object.node.get("spec");
        let class = spec
            .map(|spec| self.text(spec, "gatewayClassName"))
            .transpose()?
            .flatten()
            .unwrap_or_default();
        let Some(role) = classes.role(class) else {
            return Ok(None);
        };
        let own = follow(object.node, &["metadata", "labels"]);
        let chosen = spec.and_then(|spec| follow(spec, &["infrastructure", "labels"]));
        let mut labels = self.labels(chosen.filter(|it| !it.is_null()).or(own))?;
        labels.retain(|key, _| !key.starts_with("gateway.networking.k8s.io/"));
        if role == Role::Waypoint {
            // istiod asks the Gateway itself, whatever labels its pods have.
            let own = own.and_then(|labels| labels.get(WAYPOINT_FOR));
            let class = || classes.0.get(class).and_then(|class| class.waypoint_for);
            match own.and_then(Node::text).or_else(class) {
                Some(what) => labels.insert(WAYPOINT_FOR.to_owned(), what.to_owned()),
                None => labels.remove(WAYPOINT_FOR),
            };
        }
        let workload = Workload::of_gateway(&namespace, &name, role);
        labels.extend(workload.labels);
        if !class.is_empty() {
            labels.insert(GATEWAY_CLASS_NAME.to_owned(), class.to_owned());
        }
        Ok(Some(Workload { labels, ..workload }))
    }
}

/// A field of a field of a field.
pub(super) fn follow<'n>(node: &'n Node, way: &[&str]) -> Option<&'n Node> {
    way.iter().try_fold(node, |node, field| node.get(field))
}
