//! What Kubernetes is given: Istio's kinds and Envoy Gateway's.

use anyhow::{Context as _, bail};
use tidegate_deploy::configuration::Way;
use tidegate_deploy::gateway::ExtensionPolicy;
use tidegate_deploy::istio::envoy_filter::EnvoyFilter;
use tidegate_deploy::istio::manifest::Deployment;
use tidegate_deploy::istio::model::FailStrategy;
use tidegate_deploy::istio::validate;
use tidegate_deploy::resource::{Metadata, Name, Scope};
use tidegate_deploy::source::{ImageReference, Source};
use tidegate_oci::{Digest, Reference};

use super::{Kind, Ready, ResourceArgs, usage};
use crate::plugin::Plugin;

pub(super) fn manifest(kind: Kind, args: &ResourceArgs, plugin: &Plugin) -> anyhow::Result<String> {
    let way = match kind {
        Kind::WasmPlugin | Kind::TrafficExtension => Way::Istio,
        Kind::EnvoyExtensionPolicy => Way::Gateway,
        Kind::EnvoyFilter | Kind::Envoy => Way::Bytes,
    };
    let ready = Ready::new(plugin, way)?;
    let url = args.url.as_deref().context("--url is not given")?;
    let module = ready.facts.sha256.clone();
    let source = source(url, args.sha256.as_ref(), &module)?;
    if args.image_pull_secret.is_some() && !matches!(source, Source::Image { .. }) {
        return Err(usage(format!(
            "--image-pull-secret has no effect on `{url}`, which is fetched without credentials: remove it, or push the plugin as an image"
        )));
    }
    let metadata = Metadata {
        name: name(args, plugin, &ready)?,
        namespace: args.namespace.clone(),
    };
    let pull_secret = args.image_pull_secret.as_ref().map(Name::to_string);
    Ok(match kind {
        Kind::WasmPlugin => judged(
            istio(args, ready, metadata, source).to_yaml(validate::Kind::WasmPlugin)?,
            module,
        )?,
        Kind::TrafficExtension => judged(
            istio(args, ready, metadata, source).to_yaml(validate::Kind::TrafficExtension)?,
            module,
        )?,
        Kind::EnvoyExtensionPolicy => ExtensionPolicy {
            metadata,
            targets: args.target_ref.clone(),
            source,
            configuration: ready.arrives,
            plugin_name: args.plugin_name.clone(),
            fail_open: fails_open(args)?,
            pull_policy: args.image_pull_policy,
            pull_secret,
            host_environment: host_environment(args)?,
        }
        .to_yaml()?,
        Kind::EnvoyFilter => EnvoyFilter {
            metadata,
            scope: scope(args),
            context: args.context.context("--context is not given")?,
            source,
            configuration: ready.configuration.map(|it| it.bytes().to_owned()),
            plugin_name: args.plugin_name.clone(),
            fail_strategy: args.fail_strategy.unwrap_or(FailStrategy::Close),
            environment: args.env.clone(),
            capabilities: ready.facts.capabilities(),
        }
        .to_yaml()?,
        Kind::Envoy => anyhow::bail!("a bootstrap is no resource"),
    })
}

/// Where the module is. An image's reference is read as `push` and `verify` read it.
fn source(url: &str, sha256: Option<&Digest>, module: &str) -> anyhow::Result<Source> {
    let given = sha256.map(|digest| digest.hex().to_owned());
    if !url.starts_with("oci://") {
        return Ok(Source::parse(url, given, module)?);
    }
    let image: Reference = url
        .parse()
        .with_context(|| format!("invalid URL `{url}`"))?;
    let reference = ImageReference {
        repository: format!("{}/{}", image.registry(), image.repository()),
        tag: image.tag().map(str::to_owned),
        digest: image.digest().map(|digest| digest.hex().to_owned()),
    };
    Ok(Source::image(reference, given, module)?)
}

/// What would make requests pass by a plugin that is to fail closed, or never reach it, is no warning here.
const FATAL: [&str; 3] = [
    "url.dropped",
    "sha256.of-module",
    "vmConfig.env.name.reserved",
];

/// Holds a manifest against the rules of `tidegate validate`: what the API server would refuse is not written.
fn judged(text: String, module: String) -> anyhow::Result<String> {
    let options = validate::Options {
        module_sha256: Some(module),
    };
    let report = validate::validate(&text, &options)?;
    let is_fatal =
        |it: &&validate::Finding| it.severity == validate::Severity::Error || is_listed(&it.rule);
    let faults: Vec<_> = report
        .findings
        .iter()
        .filter(is_fatal)
        .map(|it| format!("{}: {}", it.field, it.message))
        .collect();
    if !faults.is_empty() {
        bail!("the manifest would be invalid: {}", faults.join("; "));
    }
    Ok(text)
}

/// Rules are named by what they are about and, in front, by where that is.
fn is_listed(rule: &str) -> bool {
    FATAL.iter().any(|fatal| rule.ends_with(fatal))
}

fn istio(args: &ResourceArgs, ready: Ready, metadata: Metadata, source: Source) -> Deployment {
    Deployment {
        metadata,
        scope: scope(args),
        source,
        configuration: ready.arrives,
        plugin_name: args.plugin_name.clone(),
        phase: args.phase,
        priority: args.priority,
        mode: args.match_mode,
        ports: args.port.clone(),
        fail_strategy: args.fail_strategy,
        pull_policy: args.image_pull_policy,
        pull_secret: args.image_pull_secret.as_ref().map(Name::to_string),
        environment: args.env.clone(),
        plugin_type: args.plugin_type,
    }
}

fn scope(args: &ResourceArgs) -> Scope {
    if !args.target_ref.is_empty() {
        return Scope::Targets(args.target_ref.clone());
    }
    if args.selector.is_empty() {
        return Scope::Everything;
    }
    let labels = args.selector.iter();
    Scope::Selector(
        labels
            .map(|it| (it.key.clone(), it.value.clone()))
            .collect(),
    )
}

/// The name that was given, or one like that which the plugin has itself.
fn name(args: &ResourceArgs, plugin: &Plugin, ready: &Ready) -> anyhow::Result<Name> {
    if let Some(name) = &args.name {
        return Ok(name.clone());
    }
    let own = ready.own_name.as_deref().unwrap_or(&plugin.name);
    Name::like(own).context("the plugin's name is not a valid resource name: set one with --name")
}

/// Envoy Gateway knows open and closed.
fn fails_open(args: &ResourceArgs) -> anyhow::Result<bool> {
    match args.fail_strategy {
        None | Some(FailStrategy::Close) => Ok(false),
        Some(FailStrategy::Open) => Ok(true),
        Some(FailStrategy::Reload) => Err(usage(
            "--fail-strategy FAIL_RELOAD cannot be used with --kind EnvoyExtensionPolicy: it applies to WasmPlugin, TrafficExtension or EnvoyFilter".into(),
        )),
    }
}

fn host_environment(args: &ResourceArgs) -> anyhow::Result<Vec<String>> {
    let names = args.env.iter().map(|variable| match &variable.value {
        None => Ok(variable.name.clone()),
        Some(_) => Err(usage(format!(
            "the value of --env {0} cannot be used with --kind EnvoyExtensionPolicy: pass `--env {0}` to inherit it from the proxy, or use WasmPlugin, TrafficExtension or EnvoyFilter",
            variable.name
        ))),
    });
    names.collect()
}
