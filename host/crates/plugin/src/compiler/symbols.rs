//! Places in the source of a plugin, found in its debug information (DWARF).
//!
//! Owns the reading of a stranger's debug information. Called in the compiler's process only.

use addr2line::{
    Context,
    gimli::{Dwarf, EndianSlice, LittleEndian},
};
use wasmparser::{Parser, Payload};

use super::job::Place;
use crate::{scan::broken, stdio::cut};

/// Largest number of addresses that are looked up.
const ADDRESSES_MAX: usize = 64;
/// Largest number of places of one address.
const PLACES_MAX: usize = 32;
/// Longest name of a function or a file that is passed on, in bytes.
const NAME_BYTES_MAX: usize = 300;

type Bytes<'a> = EndianSlice<'a, LittleEndian>;

/// A module of the component, with its debug information.
#[derive(Default)]
struct Module<'a> {
    /// Range of its code section in the file. Debug information counts addresses from its start.
    code: std::ops::Range<usize>,
    /// Custom sections with debug information, by name.
    sections: Vec<(&'a str, &'a [u8])>,
}

/// Finds the places that belong to addresses in a component's file, innermost first. An address that belongs to no
/// known place has none.
///
/// # Errors
/// What is wrong, as the end of a sentence.
pub(super) fn places(component: &[u8], addresses: &[u64]) -> Result<Vec<Vec<Place>>, String> {
    let modules = modules(component)?;
    let contexts: Vec<Option<Context<Bytes<'_>>>> = modules.iter().map(|module| module.context(addresses)).collect();
    let of_address = |address: &u64| {
        let address = usize::try_from(*address).unwrap_or(usize::MAX);
        let number = modules.iter().position(|module| module.code.contains(&address));
        number.and_then(|number| {
            let context = contexts[number].as_ref()?;
            found(context, (address - modules[number].code.start) as u64)
        })
    };
    Ok(addresses.iter().take(ADDRESSES_MAX).map(|address| of_address(address).unwrap_or_default()).collect())
}

fn modules(component: &[u8]) -> Result<Vec<Module<'_>>, String> {
    let (mut open, mut modules) = (vec![Module::default()], Vec::new());
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(broken)? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => open.push(Module::default()),
            Payload::End(_) => modules.extend(open.pop().filter(|module| !module.code.is_empty())),
            Payload::CodeSectionStart { range, .. } => open.iter_mut().next_back().into_iter().for_each(|module| {
                module.code = range.clone();
            }),
            Payload::CustomSection(section) if section.name().starts_with(".debug_") => {
                open.iter_mut().next_back().into_iter().for_each(|module| {
                    module.sections.push((section.name(), section.data()));
                });
            }
            _ => {}
        }
    }
    Ok(modules)
}

impl<'a> Module<'a> {
    /// Returns the module's debug information, if it has any and one of the addresses lies in its code.
    fn context(&self, addresses: &[u64]) -> Option<Context<Bytes<'a>>> {
        let inside = |address: &u64| usize::try_from(*address).is_ok_and(|address| self.code.contains(&address));
        addresses.iter().find(|address| inside(address))?;
        let section = |id: addr2line::gimli::SectionId| {
            let found = self.sections.iter().find(|(name, _)| *name == id.name());
            Ok::<_, ()>(EndianSlice::new(found.map_or(&[][..], |(_, data)| data), LittleEndian))
        };
        Context::from_dwarf(Dwarf::load(section).ok()?).ok()
    }
}

/// Looks up an address, counted from the start of the code section.
fn found(context: &Context<Bytes<'_>>, address: u64) -> Option<Vec<Place>> {
    let mut frames = context.find_frames(address).skip_all_loads().ok()?;
    let mut places = Vec::new();
    while let Ok(Some(frame)) = frames.next() {
        if places.len() == PLACES_MAX {
            break;
        }
        let name = frame.function.as_ref().and_then(|function| function.demangle().ok());
        let (file, line) = frame.location.map_or((None, None), |location| (location.file, location.line));
        let cut = |text: &str| cut(text, NAME_BYTES_MAX).to_owned();
        places.push(Place { function: name.as_deref().map(cut), file: file.map(cut), line });
    }
    Some(places)
}
