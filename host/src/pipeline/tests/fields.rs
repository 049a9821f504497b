//! Tests of the fields of a source as plans and people write them.

use std::path::Path;

use etl_format::{Inferred, InferredField, Pick, WantedField};

use super::*;
use crate::pipeline::field_line;

fn pipeline(source: &str) -> Pipeline {
    let text =
        format!("name = 'p'\nsink.url = 'out/'\nmap = [{{ plugin = 'a.wasm' }}]\n[source]\nurl = 'in/'\n{source}");
    Pipeline::parse(Path::new("pipeline.toml"), &text, |_| None).expect("valid")
}

#[test]
fn fields_are_written_as_they_are_read() {
    let fields = [
        "z = \"int64\"",
        "\"a.b\" = \"text\"",
        "c = { type = \"text\", column = \"C\" }",
        "d = { type = \"date\", position = 7, optional = true }",
    ];
    let declared = pipeline(&format!("format = 'csv'\n[source.fields]\n{}\n", fields.join("\n")));
    let wanted = declared.source.format.reading().fields.wanted();
    let lines: Vec<String> = wanted.iter().map(field_line).collect();
    assert_eq!(lines, fields);
    let path = pipeline("format = 'json'\nfields.x = { type = 'json', path = '\"a.b\".c' }\n");
    let line = field_line(&path.source.format.reading().fields.wanted()[0]);
    assert_eq!(line, "x = { type = \"json\", path = '\"a.b\".c' }");
}

#[test]
fn fields_that_were_inferred_decide_the_result_like_those_that_are_pasted() {
    let bare = pipeline("format = 'csv'\n");
    assert!(bare.source.format.lacks_fields());
    let field = |name: &str, written: &str, pick: Pick| {
        let field = etl_core::model::types::parse(name, written).expect("a type");
        InferredField { wanted: WantedField { field, pick, optional: false }, example: None }
    };
    let fields = vec![field("z", "int64", Pick::Column("z".to_owned())), field("a", "text", Pick::Position(2))];
    let inferred = bare.with_inferred(&Inferred { fields, records: 1, objects: 1, has_more: false }).expect("valid");
    let pasted = pipeline("format = 'csv'\nfields = { z = 'int64', a = { type = 'text', position = 2 } }\n");
    assert_eq!(inferred.result_keys(), pasted.result_keys());
    assert_ne!(inferred.result_keys(), bare.result_keys());
    assert_eq!(inferred.source.format.schema(), pasted.source.format.schema());
    assert!(inferred.source.format.is_inferred() && !pasted.source.format.is_inferred());
    let planned = Pipeline::of_plan(Path::new("pipeline.toml"), &inferred.document, &[], |_| None).expect("valid");
    let planned = planned.with_fields(&inferred.fields().expect("CSV has fields"), true).expect("valid");
    assert_eq!(planned.source.format, inferred.source.format);
}

#[test]
fn a_field_that_was_inferred_cannot_have_the_name_of_a_column_of_the_source() {
    let bare = pipeline("format = 'csv'\ncolumns = { file = 'object' }\n");
    let error = bare.with_fields(&[("file".to_owned(), "text".into())], true).expect_err("it is taken").to_string();
    assert_eq!(error, "pipeline.toml:7: `source.columns` cannot be added: two fields are called `file`");
}

#[test]
fn the_layout_of_documents_decides_the_result() {
    let of = |layout: &str| pipeline(&format!("format = 'json'\nfields.x = 'text'\n{layout}")).result_keys();
    assert_eq!(of(""), of("json.layout = 'lines'\n"));
    assert_ne!(of(""), of("json.layout = 'documents'\n"));
}
