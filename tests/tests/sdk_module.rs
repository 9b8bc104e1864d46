//! The host runs what the Proxy-Wasm SDKs make: the tutorial's twin, written with the Rust SDK, passes the scenarios of the
//! tutorial in our host as it does in Envoy.

use anyhow::{Context, Result};
use tidegate_testkit::envoy::{self, Release};
use tidegate_testkit::{
    HomeKind, Owned, Runner, Scenario, Transcript, compare, guests, runner, workspace,
};

const TWIN: &str = "proxy-wasm-twin";

fn scenario(name: &str) -> Result<Scenario> {
    let folder = workspace::scenarios();
    Scenario::read(&folder, &folder.join(format!("{name}.yaml")))
}

/// Runs a scenario of the tutorial with the twin in the tutorial's place.
fn run(name: &str, home: HomeKind) -> Result<Transcript> {
    let scenario = scenario(name)?;
    let twin = Runner::with(|_, _| guests::build_module(TWIN));
    let transcript = twin.run(&scenario, home)?;
    runner::check(&scenario, &transcript).with_context(|| format!("{name} in {}", home.name()))?;
    Ok(transcript)
}

#[test]
fn twin_passes_the_tutorial_in_our_host() -> Result<()> {
    run("plugins/tutorial", HomeKind::ProxyWasm)?;
    run("plugins/tutorial-configured", HomeKind::ProxyWasm)?;
    run("plugins/tutorial-misconfigured", HomeKind::ProxyWasm)?;
    Ok(())
}

#[test]
fn twin_is_the_same_in_our_host_and_in_envoy() -> Result<()> {
    let owned = Owned::read(&workspace::scenarios().join("proxy-owned-fields.txt"))?;
    for release in Release::ALL {
        if let Err(reason) = envoy::binary(release)? {
            eprintln!("{reason}");
            return Ok(());
        }
        let ours = run("plugins/tutorial", HomeKind::ProxyWasm)?;
        let envoys = run("plugins/tutorial", HomeKind::Envoy(release))?;
        assert_eq!(
            compare::differences(&owned, &ours, &envoys),
            Vec::<String>::new()
        );
    }
    Ok(())
}

#[test]
fn twin_is_the_tutorial() -> Result<()> {
    let owned = Owned::read(&workspace::scenarios().join("proxy-owned-fields.txt"))?;
    let tutorial = scenario("plugins/tutorial")?;
    let component = Runner::default().run(&tutorial, HomeKind::Component)?;
    let twin = run("plugins/tutorial", HomeKind::ProxyWasm)?;
    assert_eq!(
        compare::differences(&owned, &component, &twin),
        Vec::<String>::new()
    );
    Ok(())
}
