//! Components whose parts are nested, multiplied or numbered without end.

use super::{Attack, refused};
use crate::hostile_components::{MAPPER, component, wat};

/// Returns a component with this section behind the others.
fn with_section(component: &[u8], id: u8, content: &[u8]) -> Vec<u8> {
    [component, &[id][..], &leb(content.len()), content].concat()
}

/// Encodes a number as LEB128.
pub(super) fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = u8::try_from(number & 0x7f).expect("seven bits");
        number >>= 7;
        if number == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

/// Returns a mapper with a type that has `depth` others inside, each started by these bytes.
fn nested_types(start: &[u8], depth: usize) -> Vec<u8> {
    let innermost = [start[0], 0];
    with_section(&component(""), 7, &[&[1][..], &start.repeat(depth), &innermost].concat())
}

/// Returns a component with `depth` others inside, one in the other.
fn nested_components(depth: usize) -> Vec<u8> {
    let empty = b"\0asm\x0d\0\x01\0";
    (0..depth).fold(empty.to_vec(), |inner, _| with_section(empty, 4, &inner))
}

/// Returns a component of components, each of which instantiates the one before `times` times, `levels` deep.
fn products(levels: usize, times: usize) -> Vec<u8> {
    let instances = |name: &str| format!("(instance (instantiate {name}))").repeat(times);
    let mut text = "(component (core module $m (func (export \"f\"))) (component $c0
        (alias outer 1 $m (core module $n)) (core instance (instantiate $n)))"
        .to_owned();
    for level in 1..=levels {
        let inner = instances("$inner");
        text += &format!("(component $c{level} (alias outer 1 $c{} (component $inner)) {inner})", level - 1);
    }
    wat(&format!("{text} (instance (instantiate $c{levels})) (core instance $i (instantiate $m)) {MAPPER})"))
}

/// Returns a mapper with these items in front of it.
fn mapper_with(items: &str) -> Vec<u8> {
    wat(&format!(
        "(component {items} (core module $m (func (export \"f\"))) (core instance $i (instantiate $m)) {MAPPER})"
    ))
}

#[test]
fn structures_without_end_are_refused() {
    let too_deep: &[&str] = &["cannot be compiled: its parts are nested too deep"];
    let instances = |count: usize| "(core instance (instantiate $n))".repeat(count);
    let parts = |part: &str, count| mapper_with(&format!("(core module $n {part}) {}", instances(count)));
    let chain = |depth: usize| {
        let types: String = (1..depth).map(|n| format!("(type $t{n} (list $t{}))", n - 1)).collect();
        mapper_with(&format!("(type $t0 (list u8)) {types}"))
    };
    let doubling = |depth: usize| {
        let types: String = (1..depth).map(|n| format!("(type $t{n} (tuple $t{0} $t{0}))", n - 1)).collect();
        mapper_with(&format!("(type $t0 (tuple u8 u8)) {types}"))
    };
    let names = |what: &str, count: usize| -> String {
        (0..count).map(|number| format!("({what} \"a:b/c{number}\" (instance))")).collect()
    };
    refused(vec![
        Attack {
            name: "component types, 1,500 deep",
            component: nested_types(&[0x41, 1, 1], 1_500),
            told: &["bad.wasm"],
        },
        Attack {
            name: "component types, 1,000,000 deep",
            component: nested_types(&[0x41, 1, 1], 1_000_000),
            told: too_deep,
        },
        Attack {
            name: "instance types, 1,000,000 deep",
            component: nested_types(&[0x42, 1, 1], 1_000_000),
            told: too_deep,
        },
        Attack {
            name: "components, 3,000 deep",
            component: nested_components(3_000),
            told: &["nests components more than 50 deep"],
        },
        Attack {
            name: "components that instantiate each other 100 times, 3 levels",
            component: products(3, 100),
            told: &["consists of 1010101 component instances (limit 1000)"],
        },
        Attack {
            name: "the same, 40 levels",
            component: products(40, 100),
            told: &["component instances (limit 1000)"],
        },
        Attack {
            name: "100 core instances",
            component: parts("", 100),
            told: &["consists of 101 core module instances (limit 64)"],
        },
        Attack {
            name: "63 core instances with 100 memories each",
            component: parts(&"(memory 1)".repeat(100), 60),
            told: &["consists of 6000 memories (limit 2)"],
        },
        Attack {
            name: "60 core instances with 100 tables each",
            component: parts(&"(table 1 funcref)".repeat(100), 60),
            told: &["consists of 6000 tables (limit 8)"],
        },
        Attack {
            name: "an imported module",
            component: mapper_with("(import \"a:b/c\" (core module))"),
            told: &["imports a module or a component"],
        },
        Attack {
            name: "1,001 modules",
            component: mapper_with(&"(core module)".repeat(1_001)),
            told: &["defines more than 1000 modules or components"],
        },
        Attack { name: "lists of lists, 5,000 deep", component: chain(5_000), told: &["cannot be compiled"] },
        Attack { name: "tuples of two tuples, 40 levels", component: doubling(40), told: &["cannot be compiled"] },
        Attack {
            name: "20,000 imports",
            component: mapper_with(&names("import", 20_000)),
            told: &["imports more than 1000 things"],
        },
        Attack {
            name: "an import with a name of 90,000 bytes",
            component: mapper_with(&format!("(import \"a:b/{}\" (instance))", "c".repeat(90_000))),
            told: &["imports a name of 90004 bytes (limit 1000 bytes)"],
        },
        Attack {
            name: "a section of 4 GB that is not there",
            component: with_section(&component(""), 7, &[0xff; 8]),
            told: &["is not a valid component"],
        },
        Attack {
            name: "types that recur, 100,000 of them",
            component: component(&"(type (func (param i32 i64 f32 f64) (result i32)))".repeat(100_000)),
            told: &["bad.wasm"],
        },
    ]);
}
