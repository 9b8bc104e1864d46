//! Determines which waypoint handles requests to a service, based on the labels of the service and of its namespace, and on
//! what the waypoint allows.
//!
//! Reimplements istiod's `fetchWaypointForService`, `GetUseWaypoint` and `makeAllowedRoutes`
//! (`pilot/pkg/serviceregistry/ambient/waypoints.go`), and adds the reason to each result. If the files do not determine
//! the waypoint of a service, the service is assumed to use the waypoints in its namespace. A Gateway that is not in the
//! files is assumed to allow all services.

use std::collections::BTreeMap;

use super::read::{Object, Reader};
use super::workloads::{Classes, GATEWAY_GROUP, follow};
use super::{
    LeftOut, MANAGED, MANAGED_WAYPOINT, OrderError, Ordered, Plugin, Role, ServiceId, Step,
    WAYPOINT_FOR, Workload,
};
use crate::yaml::{Node, Value};

/// The label with the name of a waypoint, or `none`. The label of an object takes precedence over that of its namespace.
const USE_WAYPOINT: &str = "istio.io/use-waypoint";

/// The label with the namespace of the waypoint, if it differs.
const USE_WAYPOINT_NAMESPACE: &str = "istio.io/use-waypoint-namespace";

/// The label by which istiod identifies east-west gateways.
const MANAGED_EAST_WEST: &str = "istio.io-eastwest-controller";

/// The label with the name of a namespace, which the API server adds to every namespace.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// The protocol and port of the listener whose `allowedRoutes` applies.
const TUNNEL: (&str, i64) = ("HBONE", 15008);

type Labels = BTreeMap<String, String>;

/// The namespace and name of a Gateway.
type Named<'a> = (&'a str, &'a str);

/// The services, namespaces and Gateways in the files.
#[derive(Debug, Default)]
pub(super) struct Waypoints {
    services: BTreeMap<ServiceId, Service>,
    namespaces: BTreeMap<String, Labels>,
    gateways: BTreeMap<(String, String), Gateway>,
}

#[derive(Debug)]
struct Service {
    labels: Labels,
    /// Ambient mode does not support such services.
    is_external_name: bool,
}

#[derive(Debug)]
struct Gateway {
    /// `None` if the pods do not run plugins.
    pods: Option<Workload>,
    allowed: Allowed,
}

/// The namespaces whose services may use a waypoint.
#[derive(Debug)]
enum Allowed {
    Same,
    All,
    /// Namespaces whose labels satisfy all requirements. Without a selector, no namespace does.
    Selected(Option<Vec<Requirement>>),
}

/// A requirement of a label selector.
#[derive(Debug)]
struct Requirement {
    key: String,
    rule: Rule,
}

#[derive(Debug)]
enum Rule {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
}

// === impl Waypoints ===

impl Waypoints {
    /// Records an object that determines which waypoint is or may be used.
    pub fn learn(
        &mut self,
        reader: &Reader<'_>,
        object: Object<'_>,
        classes: &Classes<'_>,
    ) -> Result<(), OrderError> {
        let (node, group, kind) = (object.node, object.group(), object.kind);
        let labels = || reader.labels(follow(node, &["metadata", "labels"]));
        match (group, kind) {
            ("", "Namespace") => {
                let (_, name) = reader.name(node)?;
                self.namespaces.insert(name, labels()?);
            }
            ("", "Service") | ("networking.istio.io", "ServiceEntry") => {
                let (namespace, name) = reader.name(node)?;
                let service = Service {
                    labels: labels()?,
                    is_external_name: kind == "Service"
                        && follow(node, &["spec", "type"]).and_then(Node::text)
                            == Some("ExternalName"),
                };
                let id = ServiceId::new(group, kind, namespace, name);
                self.services.extend(id.map(|id| (id, service)));
            }
            (GATEWAY_GROUP, "Gateway") => {
                let gateway = Gateway {
                    pods: reader.gateway(object, classes)?,
                    allowed: reader.allowed(node)?,
                };
                self.gateways.insert(reader.name(node)?, gateway);
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns the waypoint that a service uses, `None` if the files do not determine it, or why it uses none.
    pub fn of<'a>(&'a self, service: &'a ServiceId) -> Result<Option<Named<'a>>, String> {
        let own = self.services.get(service);
        if let Some(own) = own {
            if own.is_external_name {
                return Err("which uses no waypoint: its type is ExternalName".into());
            }
            let managed = own.labels.get(MANAGED).map(String::as_str);
            if matches!(managed, Some(MANAGED_WAYPOINT | MANAGED_EAST_WEST)) {
                return Err("which uses no waypoint: it is a gateway's own".into());
            }
        }
        let namespace = self.namespaces.get(&service.namespace);
        let all = [
            (own.map(|own| &own.labels), "its"),
            (namespace, "its namespace's"),
        ];
        let found = all.into_iter().find_map(|(labels, whose)| {
            let labels = labels?;
            Some((labels, labels.get(USE_WAYPOINT)?, whose))
        });
        let Some((labels, name, whose)) = found else {
            return match own.and(namespace) {
                Some(_) => Err(format!(
                    "which uses no waypoint: neither it nor its namespace has the label {USE_WAYPOINT}"
                )),
                None => Ok(None),
            };
        };
        if name == "none" {
            return Err(format!(
                "which uses no waypoint: {whose} label {USE_WAYPOINT} is `none`"
            ));
        }
        let namespace = labels.get(USE_WAYPOINT_NAMESPACE);
        let used = (namespace.unwrap_or(&service.namespace).as_str(), &**name);
        match self.refusal(used, service) {
            Some(why) => Err(format!("which uses {}, and that {why}", called(used))),
            None => Ok(Some(used)),
        }
    }

    /// Checks whether a waypoint handles requests to a service. The error is the reason why it does not.
    pub fn handles(&self, waypoint: &Workload, service: &ServiceId) -> Result<(), String> {
        let own = waypoint.gateway();
        match self.of(service)? {
            Some(used) if Some(used) != own => Err(format!("which uses {}", called(used))),
            None if waypoint.namespace != service.namespace => {
                Err("which no label in the files assigns to this waypoint".into())
            }
            _ => {
                let refusal = no_services(waypoint).or_else(|| self.refusal(own?, service));
                refusal.map_or(Ok(()), |why| Err(format!("and this waypoint {why}")))
            }
        }
    }

    /// Returns the plugins that are in no chain because they are attached only to services that no waypoint handles.
    pub fn unused(&self, plugins: &[Plugin], workloads: &[Ordered]) -> Vec<LeftOut> {
        let is_used = |plugin: &Plugin| {
            let mut steps = workloads
                .iter()
                .flat_map(|it| &it.chains)
                .flat_map(|chain| &chain.steps);
            steps.any(|step| matches!(step, Step::Plugin { id, .. } if *id == plugin.id))
        };
        let unused = plugins.iter().filter_map(|plugin| {
            if plugin.targets.is_empty() || plugin.dropped.is_some() || is_used(plugin) {
                return None;
            }
            let reasons = plugin.targets.iter().map(|target| {
                let service = ServiceId::of(plugin, target)?;
                let why = self.without_waypoint(&service, workloads)?;
                Some(format!("{service}, {why}"))
            });
            let reasons: Vec<String> = reasons.collect::<Option<_>>()?;
            Some(LeftOut {
                id: plugin.id.clone(),
                why: format!("it is attached to {}", reasons.join("; ")),
            })
        });
        unused.collect()
    }

    /// Returns why no known waypoint handles requests to a service.
    fn without_waypoint(&self, service: &ServiceId, workloads: &[Ordered]) -> Option<String> {
        match self.of(service) {
            Err(why) => Some(why),
            Ok(Some(used)) => {
                let is_known = self.gateways.contains_key(&owned(used))
                    || workloads
                        .iter()
                        .any(|it| it.workload.gateway() == Some(used));
                let why = || format!("which uses {}, and that is not in the files", called(used));
                (!is_known).then(why)
            }
            Ok(None) => None,
        }
    }

    /// Returns why a Gateway does not handle requests to a service that uses it, as far as the files determine this.
    fn refusal(&self, used: Named<'_>, service: &ServiceId) -> Option<String> {
        let gateway = self.gateways.get(&owned(used))?;
        let pods = gateway.pods.as_ref();
        let Some(waypoint) = pods.filter(|pods| pods.role == Role::Waypoint) else {
            return Some("is not a waypoint that runs plugins".into());
        };
        let namespace = service.namespace.as_str();
        let is_allowed = match &gateway.allowed {
            Allowed::Same => namespace == used.0,
            Allowed::All => true,
            Allowed::Selected(None) => false,
            Allowed::Selected(Some(all)) => all.iter().all(|it| self.satisfies(namespace, it)),
        };
        let denied = || {
            (!is_allowed).then(|| {
                format!(
                    "does not allow services of the namespace {namespace}: see `allowedRoutes` of its listener"
                )
            })
        };
        no_services(waypoint).or_else(denied)
    }

    /// Returns whether a namespace satisfies a requirement. A namespace that is not in the files is assumed to satisfy it,
    /// unless the requirement concerns its name.
    fn satisfies(&self, namespace: &str, requirement: &Requirement) -> bool {
        let key = requirement.key.as_str();
        let value = match (key, self.namespaces.get(namespace)) {
            (NAMESPACE_NAME, _) => Some(namespace),
            (_, Some(labels)) => labels.get(key).map(String::as_str),
            (_, None) => return true,
        };
        let is_among = |values: &[String]| values.iter().any(|it| Some(it.as_str()) == value);
        match &requirement.rule {
            Rule::In(values) => is_among(values),
            Rule::NotIn(values) => !is_among(values),
            Rule::Exists => value.is_some(),
            Rule::DoesNotExist => value.is_none(),
        }
    }
}

/// Returns why a waypoint does not handle services, if it does not.
fn no_services(waypoint: &Workload) -> Option<String> {
    let handles = waypoint.handles_no_services()?;
    Some(format!(
        "handles no services: its {WAYPOINT_FOR} is `{handles}`"
    ))
}

fn called((namespace, name): Named<'_>) -> String {
    format!("Gateway/{name} in {namespace}")
}

fn owned((namespace, name): Named<'_>) -> (String, String) {
    (namespace.to_owned(), name.to_owned())
}

// === impl Reader ===

impl Reader<'_> {
    /// Returns the namespaces whose services may use a Gateway.
    fn allowed(&self, gateway: &Node) -> Result<Allowed, OrderError> {
        let (protocol, port) = TUNNEL;
        let listeners = follow(gateway, &["spec", "listeners"]).and_then(Node::items);
        let tunnel = listeners.unwrap_or_default().iter().find(|listener| {
            listener.get("protocol").and_then(Node::text) == Some(protocol)
                && listener.get("port").map(|it| &it.value) == Some(&Value::Integer(port))
        });
        let namespaces = tunnel.and_then(|it| follow(it, &["allowedRoutes", "namespaces"]));
        let from = namespaces.map(|it| self.text(it, "from")).transpose()?;
        Ok(match from.flatten() {
            Some("All") => Allowed::All,
            Some("Selector") => {
                let selector = namespaces.and_then(|it| it.get("selector"));
                let selector = selector.filter(|it| !it.is_null());
                Allowed::Selected(selector.map(|it| self.requirements(it)).transpose()?)
            }
            _ => Allowed::Same,
        })
    }

    fn requirements(&self, selector: &Node) -> Result<Vec<Requirement>, OrderError> {
        let labels = self.labels(selector.get("matchLabels"))?;
        let labels = labels.into_iter().map(|(key, value)| {
            Ok(Requirement {
                key,
                rule: Rule::In(vec![value]),
            })
        });
        let expressions = selector.get("matchExpressions").and_then(Node::items);
        let expressions = expressions.unwrap_or_default().iter().map(|expression| {
            let text = |field| {
                self.text(expression, field)?.ok_or_else(|| {
                    self.fault(expression, format!("the expression has no `{field}`"))
                })
            };
            let values = expression.get("values").and_then(Node::items);
            let values = values.unwrap_or_default().iter().filter_map(Node::text);
            let values: Vec<String> = values.map(str::to_owned).collect();
            let rule = match text("operator")? {
                "In" => Rule::In(values),
                "NotIn" => Rule::NotIn(values),
                "Exists" => Rule::Exists,
                "DoesNotExist" => Rule::DoesNotExist,
                other => {
                    let what = format!(
                        "unknown `operator` `{other}`: expected one of In, NotIn, Exists, DoesNotExist"
                    );
                    return Err(self.fault(expression, what));
                }
            };
            let key = text("key")?.to_owned();
            Ok(Requirement { key, rule })
        });
        labels.chain(expressions).collect()
    }
}
