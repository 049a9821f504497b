//! The fuzz targets for components and their debug information.

use std::{
    fs::File,
    iter,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use arrow_array::{ArrayRef, BinaryArray, RecordBatch};
use etl_core::model::{
    event::Events,
    ids::{TaskId, Try},
    redact::Mask,
    schema::Schema,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Attempt, Engine, Grants, Interface, Limits, PluginSettings,
    cache::{self, Cache, Miss},
    compiler::{
        Compiled, Compiler,
        child::answer,
        job::{Outcome, Task},
    },
    component::{ComponentFile, digest},
};

/// Most bytes of a message about a component.
const MESSAGE_BYTES_MAX: usize = 2_000;

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let compiler = Compiler::new("/nowhere".into(), Cache::of_environment(|_| None));
    Engine::new(1, compiler).expect("this machine runs wasm")
});

/// Loads, compiles and calls a component: it is refused with a reason, or it computes within its limits.
pub fn component(data: &[u8]) {
    let task = Task::Compile { step: "map".to_owned(), interface: Interface::Mapper };
    let (outcome, code) = answer(&task, data.to_vec());
    let facts = match outcome {
        Outcome::Facts(facts) => facts,
        Outcome::Refused(what) => return assert!(!what.is_empty() && what.len() <= MESSAGE_BYTES_MAX, "{what}"),
        Outcome::Places(_) => panic!("places of a component that was to be compiled"),
    };
    // A component may need more than the pool of instances gives to one, which shows when it is loaded.
    let Ok(component) = cache::load(ENGINE.wasmtime(), &code) else { return };
    let compiled = Compiled { facts, component, miss: Some(Miss::Off) };
    let file = ComponentFile {
        path: "fuzzed.wasm".into(),
        file: File::open("/dev/null").expect("a file"),
        size_bytes: data.len() as u64,
        digest: digest(data),
    };
    let Ok(plugin) = ENGINE.plugin(&settings(), Interface::Mapper, file, compiled, Instant::now()) else { return };
    let (input, stop) = (Schema::lines(), CancellationToken::new());
    let attempt = Attempt {
        run_id: "fuzz".to_owned(),
        task: TaskId(0),
        attempt: Try::FIRST,
        clock_ms: 0,
        events: Events::silent(),
        stop,
        time_max: None,
    };
    let Ok(mut mapper) = plugin.map(&attempt, &input, Box::new(|_, _| Ok(()))) else { return };
    let lines: ArrayRef = Arc::new(BinaryArray::from_iter_values(iter::once(b"one")));
    let batch = RecordBatch::try_new(Arc::clone(&input.fields), vec![lines]).expect("a batch of lines");
    if mapper.process(&batch, 10).is_ok() {
        _ = mapper.finish();
    }
}

fn settings() -> PluginSettings {
    let limits = Limits {
        memory_bytes: 1 << 20,
        timeout: Duration::from_millis(100),
        batch_timeout: Duration::from_millis(100),
        output_bytes: 1 << 20,
        ..Limits::default()
    };
    PluginSettings {
        name: "map".to_owned(),
        path: "fuzzed.wasm".into(),
        build: None,
        config: "{}".to_owned(),
        variables: Vec::new(),
        grants: Grants::default(),
        limits,
        mask: Mask::default(),
    }
}

/// Sections of debug information, in the order in which the target cuts its bytes into them.
const SECTIONS: [&str; 6] =
    [".debug_abbrev", ".debug_info", ".debug_line", ".debug_str", ".debug_ranges", ".debug_rnglists"];

/// Looks up addresses in debug information: each has a bounded number of places with bounded names, or none. The first
/// bytes are the lengths of the sections, two for each.
pub fn debug_info(data: &[u8]) {
    let Some((lengths, mut rest)) = data.split_at_checked(2 * SECTIONS.len()) else { return };
    // A module with one function whose body has 4,000 bytes, so that there are addresses to look up.
    let mut module = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0".to_vec();
    let body = [&[0][..], &[1; 3_998], &[0x0b]].concat();
    push_section(&mut module, 10, &[&[1][..], &leb(body.len()), &body].concat());
    for (name, length) in iter::zip(SECTIONS, lengths.chunks(2)) {
        let length = usize::from(u16::from_le_bytes([length[0], length[1]])).min(rest.len());
        let (section, others) = rest.split_at(length);
        push_section(&mut module, 0, &[&leb(name.len())[..], name.as_bytes(), section].concat());
        rest = others;
    }
    let mut component = b"\0asm\x0d\0\x01\0".to_vec();
    push_section(&mut component, 1, &module);
    let addresses = (0..10).map(|number| 50 + 400 * number).collect();
    match answer(&Task::Locate { addresses }, component).0 {
        Outcome::Places(places) => {
            assert_eq!(places.len(), 10);
            for place in places.iter().inspect(|places| assert!(places.len() <= 32)).flatten() {
                assert!(place.function.as_ref().is_none_or(|name| name.len() <= 300));
                assert!(place.file.as_ref().is_none_or(|name| name.len() <= 300));
            }
        }
        Outcome::Refused(what) => panic!("a valid component was refused: {what}"),
        Outcome::Facts(_) => panic!("facts of a component in which places were to be found"),
    }
}

fn push_section(to: &mut Vec<u8>, kind: u8, content: &[u8]) {
    to.push(kind);
    to.extend(leb(content.len()));
    to.extend(content);
}

/// Encodes a number as LEB128.
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use etl_core::testing::check_target;

    use super::*;

    const MAPPER: &str = include_str!("mapper.wat");

    fn wat(text: &str) -> Vec<u8> {
        wat::parse_str(text).expect("the text is WebAssembly")
    }

    #[test]
    fn components() {
        let acting = |act: &str| {
            wat(&MAPPER.replace("(result i32) (i32.const 32))", &format!("(result i32) {act} (i32.const 32))")))
        };
        let nested = "(component $a (core module $n) (core instance (instantiate $n))) (instance (instantiate $a))";
        let seeds = vec![
            wat(MAPPER),
            acting("unreachable"),
            acting("(loop $again (br $again))"),
            acting("(drop (memory.grow (i32.const 100)))"),
            acting("(i32.store (i32.const 36) (i32.const 1)) (i32.store8 (i32.const 32) (i32.const 1))"),
            wat(&MAPPER.replacen("(core module $m", &format!("{nested} (core module $m"), 1)),
            wat(&MAPPER.replacen("\\40\\00\\00\\00\\01", "\\40\\00\\00\\00\\ff", 1)),
        ];
        check_target("component", seeds, component);
    }

    #[test]
    fn the_seed_of_components_is_a_mapper() {
        let task = Task::Compile { step: "map".to_owned(), interface: Interface::Mapper };
        let (outcome, code) = answer(&task, wat(MAPPER));
        assert!(matches!(outcome, Outcome::Facts(_)) && !code.is_empty(), "{outcome:?}");
    }

    #[test]
    fn debug_information() {
        let unit = [
            &[4_u8, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 2][..],
            &[0, 0, 0, 0, 0, 16, 0, 0],
            b"f\0",
            &[0, 0],
        ]
        .concat();
        let info = [&(unit.len() as u32).to_le_bytes()[..], &unit].concat();
        let abbreviations = [
            &[1, 0x11, 1, 0x11, 0x01, 0x12, 0x06, 0x10, 0x17, 0, 0][..],
            &[2, 0x2e, 1, 0x11, 0x01, 0x12, 0x06, 0x03, 0x08, 0, 0],
            &[3, 0x1d, 1, 0x31, 0x13, 0x11, 0x01, 0x12, 0x06, 0x59, 0x0b, 0, 0],
            &[0],
        ]
        .concat();
        let header = [&[1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0][..], b"a.rs\0\0\0\0\0"].concat();
        let rows = [0, 5, 2, 0, 0, 0, 0, 0x4b, 2, 128, 32, 0, 1, 1];
        let program = [&[4, 0][..], &(header.len() as u32).to_le_bytes(), &header, &rows].concat();
        let line = [&(program.len() as u32).to_le_bytes()[..], &program].concat();
        let sections = [&abbreviations[..], &info, &line, b"", b"", b""];
        let mut seed: Vec<u8> = sections.iter().flat_map(|section| (section.len() as u16).to_le_bytes()).collect();
        seed.extend(sections.concat());
        check_target("debug_info", vec![seed], debug_info);
    }
}
