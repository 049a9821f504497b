//! Makes the reference of `pipeline.toml` from its JSON Schema.

use serde_json::Value;

/// Returns the reference page.
pub(super) fn page(schema: &Value) -> String {
    let mut page = "# pipeline.toml\n\n\
        Sizes are numbers of bytes or texts such as `\"64MiB\"` or `\"1GB\"`; durations `\"500ms\"`, `\"30s\"`, `\"5m\"`. Relative \
        paths are relative to the directory of the file. `${NAME}` in any value takes the environment variable of that name; \
        `$${` is a literal `${`. A number or a boolean may be one variable in quotes: `concurrency = \"${CORES}\"`, in a step's `config` too if \
        the plugin describes it. \
        [Secrets](../how-to/secrets.md) says which variables are not shown, and [stores](stores.md#urls) what a `url` may have.\n\n\
        Editors complete keys by the [JSON Schema](pipeline.schema.json), which `etl-host schema` prints: put \
        `#:schema pipeline.schema.json` on the first line of a pipeline, if yours knows it.\n"
        .to_owned();
    let tables = [
        ("the top of the file", schema.clone()),
        ("`[source]`", definition(schema, "Source")),
        ("`[source.csv]`", definition(schema, "SourceCsv")),
        ("`[split]`", definition(schema, "Split")),
        ("`[[map]]`", definition(schema, "Map")),
        ("`[reduce]`", definition(schema, "Reduce")),
        ("`limits` of a step", definition(schema, "Limits")),
        ("`retry` of a step", definition(schema, "Retry")),
        ("`[sink]`", definition(schema, "Sink")),
        ("`[sink.csv]`", definition(schema, "SinkCsv")),
        ("`[run]`", definition(schema, "Run")),
    ];
    for (title, table) in tables {
        let about = text(&table, "description");
        page += &format!("\n## {title}\n\n{about}\n\n| key | type | default | meaning |\n| --- | --- | --- | --- |\n");
        let properties = table["properties"].as_object().expect("a table has keys");
        let required: Vec<&str> =
            table["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let (first, rest): (Vec<_>, Vec<_>) = properties.iter().partition(|(key, _)| required.contains(&key.as_str()));
        for (key, property) in first.into_iter().chain(rest) {
            let default = match (&property["default"], required.contains(&key.as_str())) {
                (_, true) => "required".to_owned(),
                (Value::Null, false) => String::new(),
                (default, false) => format!("`{default}`"),
            };
            let meaning = format!("{}{}{}", text(property, "description"), range(property), choices(schema, property));
            page += &format!("| `{key}` | {} | {default} | {} |\n", type_of(schema, property), meaning.trim());
        }
    }
    page
}

fn definition(schema: &Value, name: &str) -> Value {
    schema["definitions"][name].clone()
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|")
}

/// Returns the schema that a property refers to, or the property itself.
fn resolved(schema: &Value, property: &Value) -> Value {
    let alternatives = property["anyOf"].as_array().or_else(|| property["allOf"].as_array()).into_iter().flatten();
    let reference = alternatives.chain([property]).find_map(|value| value["$ref"].as_str());
    reference.and_then(|path| path.rsplit('/').next()).map_or_else(|| property.clone(), |name| definition(schema, name))
}

fn type_of(schema: &Value, property: &Value) -> String {
    if let Some(format) = property["format"].as_str().filter(|format| ["size", "duration"].contains(format)) {
        return format.to_owned();
    }
    let target = resolved(schema, property);
    let named = target["type"].as_str().map(str::to_owned);
    let first =
        || target["type"].as_array()?.iter().filter_map(Value::as_str).find(|name| *name != "null").map(str::to_owned);
    match named.or_else(first).as_deref() {
        Some("object") => "table",
        Some("array") if property["items"]["$ref"].is_string() => "tables",
        Some("array") => "list of text",
        Some("string") | None => "text",
        Some("integer" | "number") => "number",
        Some(other) => return other.to_owned(),
    }
    .to_owned()
}

fn range(property: &Value) -> String {
    match (&property["minimum"], &property["maximum"]) {
        (Value::Number(min), Value::Number(max)) => format!(" {min} to {max}."),
        _ => String::new(),
    }
}

/// Returns a list of the values that a key may have, if the schema lists them.
fn choices(schema: &Value, property: &Value) -> String {
    let target = resolved(schema, property);
    let choices: Vec<String> = target["oneOf"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|choice| {
            let about = text(choice, "description");
            Some(format!("`{}`: {}", choice["const"].as_str()?, clause(&about)))
        })
        .collect();
    if choices.is_empty() { String::new() } else { format!(" {}.", choices.join("; ")) }
}

/// Returns a sentence in the form it has inside another one. A first word with several capitals is a name and stays.
fn clause(sentence: &str) -> String {
    let sentence = sentence.trim_end_matches('.');
    let is_name = sentence.chars().nth(1).is_some_and(char::is_uppercase);
    match sentence.split_at_checked(1) {
        Some((first, rest)) if !is_name => first.to_lowercase() + rest,
        _ => sentence.to_owned(),
    }
}
