//! Reads workloads from documents: pods, objects with a pod template, and the Gateway API `Gateway`s for which istiod
//! creates the pods.
//!
//! The controller of a `Gateway` and the labels of its pods are defined in `pilot/pkg/config/kube/gatewaycommon`
//! (`deploymentcontroller.go`, `classinfo.go`), and in `waypoint.yaml` and `kube-gateway.yaml` in the Helm chart.

use std::collections::BTreeMap;

use super::read::{Object, Reader};
use super::{OrderError, Role, WAYPOINT_FOR, Workload};
use crate::yaml::Node;

/// The groups and kinds with a pod template in their `spec`, and the path to the template.
const TEMPLATES: [(&str, &str, &[&str]); 8] = [
    ("", "ReplicationController", &["template"]),
    ("apps", "Deployment", &["template"]),
    ("apps", "StatefulSet", &["template"]),
    ("apps", "DaemonSet", &["template"]),
    ("apps", "ReplicaSet", &["template"]),
    ("batch", "Job", &["template"]),
    ("batch", "CronJob", &["jobTemplate", "spec", "template"]),
    // Argo's Rollout, with the fields of a Deployment. If it references a Deployment instead of containing a template, the
    // Deployment describes the pods.
    ("argoproj.io", "Rollout", &["template"]),
];

/// The API group of `Gateway` and `GatewayClass`.
pub(super) const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";

/// The annotation with the injection templates of a pod. Istio's gateway chart sets it to `gateway`, regardless of the
/// labels.
const INJECTED: &str = "inject.istio.io/templates";

/// The label with the class of a gateway.
const GATEWAY_CLASS_NAME: &str = "gateway.networking.k8s.io/gateway-class-name";

/// The classes that istiod creates itself, and their controllers.
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

/// The controller of the gateways whose Envoys handle requests. East-west gateways only forward tunnels, remote gateways
/// run elsewhere, and agentgateway does not run plugins.
const GATEWAYS: &str = "istio.io/gateway-controller";
const WAYPOINTS: &str = "istio.io/mesh-controller";

/// The `GatewayClass`es in the files, by name.
#[derive(Default)]
pub(super) struct Classes<'n>(BTreeMap<&'n str, Class<'n>>);

#[derive(Default)]
struct Class<'n> {
    controller: Option<&'n str>,
    /// What waypoints of this class handle, if they do not specify it themselves.
    waypoint_for: Option<&'n str>,
}

// === impl Classes ===

impl<'n> Classes<'n> {
    /// Records an object, if it is a class.
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

    /// Returns the role of the pods of a class's gateways, if they run plugins. An unknown class may be one of Istio's.
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
    /// Returns the pods that an object describes.
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

    /// Returns the pods that istiod creates for a `Gateway`.
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
            // istiod reads the label of the Gateway itself, regardless of the labels of its pods.
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

/// Returns the nested field at the given path.
pub(super) fn follow<'n>(node: &'n Node, way: &[&str]) -> Option<&'n Node> {
    way.iter().try_fold(node, |node, field| node.get(field))
}
