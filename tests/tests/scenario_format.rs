//! The scenarios of this workspace and the examples in the manual match the test kit's schema, and the test kit can parse them.

use std::fs;

use serde_json::Value;
use tidegate_components::workspace;
use tidegate_testkit::{Scenario, scenario, schema};

#[test]
fn every_scenario_matches_the_schema() {
    let validator = jsonschema::draft7::new(&schema::scenario()).expect("valid schema");
    let files = scenario::files(&workspace::scenarios()).expect("failed to find the scenarios");
    assert!(files.len() > 50, "{} scenarios", files.len());
    for file in files {
        let text = fs::read_to_string(&file).expect("valid scenario");
        let value: Value = serde_saphyr::from_str(&text).expect("valid YAML");
        let wrong: Vec<String> = validator
            .iter_errors(&value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(wrong.is_empty(), "{}: {wrong:#?}", file.display());
    }
}

#[test]
fn examples_in_the_manual_are_valid_scenarios() {
    let manual = fs::read_to_string(workspace::root().join("docs/testing.md"))
        .expect("failed to read docs/testing.md");
    let shown = manual
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let [whole, plugins] = shown.collect::<Vec<_>>()[..] else {
        panic!("two examples");
    };
    let scenario: Scenario = serde_saphyr::from_str(whole).expect("valid scenario");
    assert_eq!((scenario.seed, scenario.steps.len()), (Some(7), 11));
    assert_eq!(
        (scenario.shared_data.len(), scenario.properties.len()),
        (1, 1)
    );
    let metadata = &scenario.metadata;
    assert_eq!((metadata.route.len(), metadata.dynamic.len()), (1, 1));
    assert_eq!(scenario.metrics.len(), 2);
    let chain = format!("about: x\nsteps:\n- request: {{path: /}}\n{plugins}");
    let chain: Scenario = serde_saphyr::from_str(&chain).expect("valid scenario");
    assert_eq!(chain.plugins.len(), 2);
}
