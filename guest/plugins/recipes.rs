//! The recipes of a plugin's page, and the scenarios that run them. The tests of the plugins include this file.
//!
//! A recipe is a section below `## Recipes` with a WasmPlugin. Its scenarios are in `tests/scenarios/recipes/PLUGIN`, and have the name of
//! the heading's anchor: `A limit for login attempts` is `a-limit-for-login-attempts.yaml`, which runs in all runtimes. What cannot be shown in
//! Envoy, whose clock no scenario sets, is in `a-limit-for-login-attempts-limited.yaml`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A recipe of a page.
#[derive(Debug)]
pub struct Recipe {
    /// The heading of its section.
    pub heading: String,
    /// The configuration of the plugin: `spec.pluginConfig` of the resource.
    pub configuration: Value,
}

/// What the name of a recipe's second scenario ends with.
const LIMITED: &str = "-limited";

/// The keys with which a scenario is not run in all runtimes.
const NOT_EVERYWHERE: [&str; 5] = ["not-in", "clock", "seed", "shared-data", "properties"];

/// Reads the recipes of the page of a plugin.
pub fn of(plugin: &str) -> Vec<Recipe> {
    read(&text(&root().join(format!("docs/{plugin}.md"))))
}

/// Returns what is wrong with the scenarios of the recipes.
pub fn mistakes(plugin: &str) -> Vec<String> {
    let folder = format!("tests/scenarios/recipes/{plugin}");
    let mut scenarios = BTreeMap::new();
    for entry in fs::read_dir(root().join(&folder)).expect("the folder of the scenarios") {
        let path = entry.expect("a scenario").path();
        let name = path.file_stem().expect("a name").to_string_lossy();
        scenarios.insert(name.into_owned(), parse(&text(&path)));
    }
    compare(plugin, &folder, &of(plugin), &scenarios)
}

fn compare(
    plugin: &str,
    folder: &str,
    recipes: &[Recipe],
    scenarios: &BTreeMap<String, Value>,
) -> Vec<String> {
    let mut mistakes = Vec::new();
    for recipe in recipes {
        let (heading, name) = (&recipe.heading, anchor(&recipe.heading));
        match scenarios.get(&name) {
            None => mistakes.push(format!("write {folder}/{name}.yaml for `{heading}`")),
            Some(scenario) => {
                for key in NOT_EVERYWHERE {
                    if scenario.get(key).is_some() {
                        mistakes.push(format!(
                            "{folder}/{name}.yaml: remove `{key}`, with which it is not run in all runtimes"
                        ));
                    }
                }
            }
        }
    }
    for (name, scenario) in scenarios {
        let stem = name.strip_suffix(LIMITED).unwrap_or(name);
        let file = format!("{folder}/{name}.yaml");
        let Some(recipe) = recipes.iter().find(|it| anchor(&it.heading) == stem) else {
            mistakes.push(format!(
                "{file}: docs/{plugin}.md has no recipe with this anchor; rename or remove the scenario"
            ));
            continue;
        };
        // Another plugin of the same package has a name of its own.
        let plugins = scenario["plugins"].as_array().into_iter().flatten();
        let own = plugins
            .clone()
            .find(|it| it["guest"] == plugin && it.get("name").is_none());
        match own {
            None => mistakes.push(format!("{file}: add `guest: {plugin}` to the plugins")),
            Some(own) if own["configuration"] != recipe.configuration => mistakes.push(format!(
                "{file}: the configuration is not that of `{}` in docs/{plugin}.md:\n  {}\n  {}",
                recipe.heading, own["configuration"], recipe.configuration
            )),
            Some(_) => {}
        }
    }
    mistakes
}

/// Returns the recipes of a page, in order.
fn read(page: &str) -> Vec<Recipe> {
    let (_, recipes) = page.split_once("\n## Recipes\n").expect("the recipes");
    let recipes = recipes.split("\n## ").next().unwrap_or_default();
    let sections = recipes.split("\n### ").skip(1);
    let recipe = |section: &str| {
        let (heading, rest) = section.split_once('\n').expect("a heading");
        let (_, block) = rest.split_once("```yaml\n").expect(heading);
        let (resource, _) = block.split_once("```").expect(heading);
        let resource = parse(resource);
        assert_eq!(resource["kind"], "WasmPlugin", "{heading}");
        Recipe {
            heading: heading.to_owned(),
            configuration: resource["spec"]["pluginConfig"].clone(),
        }
    };
    sections.map(recipe).collect()
}

/// Returns the anchor that a heading has on a rendered page.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter_map(|character| match character {
        ' ' => Some('-'),
        '-' | '_' => Some(character),
        _ if character.is_alphanumeric() => Some(character.to_ascii_lowercase()),
        _ => None,
    });
    kept.collect()
}

fn parse(yaml: &str) -> Value {
    serde_saphyr::from_str(yaml).expect(yaml)
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PAGE: &str = "
## Recipes

### One limit, and `more`

```yaml
kind: WasmPlugin
spec: { pluginConfig: { rules: [1] } }
```

### Another

```yaml
kind: WasmPlugin
spec: { pluginConfig: { rules: [2] } }
```

## Reference

### Not a recipe
";

    /// Returns the mistakes of these scenarios.
    fn found(scenarios: Value) -> Vec<String> {
        let scenarios = scenarios.as_object().expect("scenarios").clone();
        compare("p", "s", &read(PAGE), &scenarios.into_iter().collect())
    }

    fn running(rule: u32) -> Value {
        json!({ "plugins": [{ "guest": "probe" }, { "guest": "p", "configuration": { "rules": [rule] } }] })
    }

    #[test]
    fn recipes_have_scenarios_with_their_configuration() {
        let good = json!({ "one-limit-and-more": running(1), "another": running(2), "another-limited": running(2) });
        assert_eq!(found(good), [""; 0]);
    }

    #[test]
    fn missing_scenario_is_a_mistake() {
        let scenarios = json!({ "one-limit-and-more": running(1), "another-limited": running(2) });
        assert_eq!(found(scenarios), ["write s/another.yaml for `Another`"]);
    }

    #[test]
    fn scenario_without_a_recipe_is_a_mistake() {
        let scenarios = json!({ "one-limit-and-more": running(1), "another": running(2), "not-a-recipe": running(2) });
        let [mistake] = &found(scenarios)[..] else {
            panic!("one mistake");
        };
        assert!(
            mistake.starts_with("s/not-a-recipe.yaml: docs/p.md has no recipe"),
            "{mistake}"
        );
    }

    #[test]
    fn other_configuration_is_a_mistake() {
        for other in [
            running(1),
            json!({ "plugins": [{ "guest": "p", "name": "q" }] }),
            json!({}),
        ] {
            let scenarios = json!({ "one-limit-and-more": running(1), "another": other });
            let [mistake] = &found(scenarios)[..] else {
                panic!("one mistake");
            };
            assert!(mistake.starts_with("s/another.yaml: "), "{mistake}");
        }
    }

    #[test]
    fn scenario_that_is_skipped_in_a_runtime_is_a_mistake() {
        let mut skipped = running(2);
        skipped["not-in"] = json!({ "envoy": "a reason" });
        let scenarios = json!({ "one-limit-and-more": running(1), "another": skipped, "another-limited": skipped });
        let [mistake] = &found(scenarios)[..] else {
            panic!("one mistake");
        };
        assert!(
            mistake.starts_with("s/another.yaml: remove `not-in`"),
            "{mistake}"
        );
    }
}
