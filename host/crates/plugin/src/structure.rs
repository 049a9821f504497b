//! The parts that a component is made of when it is instantiated, counted before it is compiled.
//!
//! A component of two kilobytes can ask for any number of instances: it instantiates a component a hundred times, which
//! instantiates another a hundred times, and so on. The count follows such products without building anything. Its own
//! stack is on the heap, so no nesting overflows it.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ComponentTypeRef, Instance,
    Parser, Payload,
};

use super::scan::broken;

/// Largest number of modules, and of components, that one component defines or gets by an alias.
const DEFINITIONS_MAX: usize = 1_000;
/// Largest number of component instances in a component.
const INSTANCES_MAX: u64 = 1_000;
/// Largest number of core instances in a component.
pub(super) const CORE_INSTANCES_MAX: u32 = 64;
/// Largest number of memories in a component.
pub(super) const MEMORIES_MAX: u32 = 2;
/// Largest number of tables in a component.
pub(super) const TABLES_MAX: u32 = 8;

/// Numbers of the parts that one instance of a module or component has. They stay at the largest number instead of
/// overflowing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Parts {
    instances: u64,
    core_instances: u64,
    memories: u64,
    tables: u64,
}

impl Parts {
    /// Counts the parts of a component.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence that begins with the plugin: the bytes are no component, or its parts
    /// cannot be counted because it takes modules or components from somewhere else.
    pub(super) fn count(component: &[u8]) -> Result<Self, String> {
        let mut scopes = vec![Scope::default()];
        for payload in Parser::new(0).parse_all(component) {
            let payload = payload.map_err(broken)?;
            match &payload {
                Payload::ModuleSection { .. } => scopes.push(Scope::module()),
                Payload::ComponentSection { .. } => scopes.push(Scope::default()),
                Payload::End(_) => {
                    let ended = scopes.pop().ok_or_else(|| broken("it ends twice"))?;
                    let Some(outer) = scopes.last_mut() else { return Ok(ended.parts) };
                    let defined = if ended.is_module { &mut outer.modules } else { &mut outer.components };
                    define(defined, ended.parts)?;
                }
                _ => read_section(&mut scopes, &payload)?,
            }
        }
        Err(broken("it has no end"))
    }

    /// Compares the counts with the limits.
    ///
    /// # Errors
    /// The first limit that is exceeded, as the end of a sentence that begins with the plugin.
    pub(super) fn check(&self) -> Result<(), String> {
        let limits = [
            (self.instances, INSTANCES_MAX, "component instances"),
            (self.core_instances, CORE_INSTANCES_MAX.into(), "core module instances"),
            (self.memories, MEMORIES_MAX.into(), "memories"),
            (self.tables, TABLES_MAX.into(), "tables"),
        ];
        match limits.into_iter().find(|(count, limit, _)| count > limit) {
            Some((count, limit, what)) => Err(format!("consists of {count} {what} (limit {limit})")),
            None => Ok(()),
        }
    }

    fn add(&mut self, other: Self) {
        self.instances = self.instances.saturating_add(other.instances);
        self.core_instances = self.core_instances.saturating_add(other.core_instances);
        self.memories = self.memories.saturating_add(other.memories);
        self.tables = self.tables.saturating_add(other.tables);
    }
}

/// A module or component that is being read: its parts so far, and those of the modules and components it may
/// instantiate, in the order of their numbers.
#[derive(Default)]
struct Scope {
    is_module: bool,
    parts: Parts,
    modules: Vec<Parts>,
    components: Vec<Parts>,
}

impl Scope {
    fn module() -> Self {
        Self { is_module: true, parts: Parts { core_instances: 1, ..Parts::default() }, ..Self::default() }
    }
}

/// Takes over a section of the innermost scope.
fn read_section(scopes: &mut [Scope], payload: &Payload<'_>) -> Result<(), String> {
    let innermost = scopes.len() - 1;
    let scope = &mut scopes[innermost];
    match payload {
        Payload::MemorySection(section) => scope.parts.memories += u64::from(section.count()),
        Payload::TableSection(section) => scope.parts.tables += u64::from(section.count()),
        Payload::InstanceSection(section) => {
            for instance in section.clone() {
                if let Instance::Instantiate { module_index, .. } = instance.map_err(broken)? {
                    scope.parts.add(known(&scope.modules, module_index)?);
                }
            }
        }
        Payload::ComponentInstanceSection(section) => {
            for instance in section.clone() {
                if let ComponentInstance::Instantiate { component_index, .. } = instance.map_err(broken)? {
                    scope.parts.add(known(&scope.components, component_index)?);
                    scope.parts.add(Parts { instances: 1, ..Parts::default() });
                }
            }
        }
        Payload::ComponentImportSection(section) => {
            for import in section.clone() {
                if matches!(import.map_err(broken)?.ty, ComponentTypeRef::Module(_) | ComponentTypeRef::Component(_)) {
                    return Err(foreign("imports"));
                }
            }
        }
        Payload::ComponentExportSection(section) => {
            for export in section.clone() {
                let export = export.map_err(broken)?;
                // An export gives its item another number.
                match export.kind {
                    ComponentExternalKind::Module => {
                        let parts = known(&scope.modules, export.index)?;
                        define(&mut scope.modules, parts)?;
                    }
                    ComponentExternalKind::Component => {
                        let parts = known(&scope.components, export.index)?;
                        define(&mut scope.components, parts)?;
                    }
                    _ => {}
                }
            }
        }
        Payload::ComponentAliasSection(section) => {
            for alias in section.clone() {
                read_alias(scopes, &alias.map_err(broken)?)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn read_alias(scopes: &mut [Scope], alias: &ComponentAlias<'_>) -> Result<(), String> {
    let innermost = scopes.len() - 1;
    match alias {
        ComponentAlias::InstanceExport {
            kind: ComponentExternalKind::Module | ComponentExternalKind::Component,
            ..
        } => Err(foreign("takes from an instance")),
        ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, count, index } => {
            let parts = known(&outer(scopes, *count)?.modules, *index)?;
            define(&mut scopes[innermost].modules, parts)
        }
        ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count, index } => {
            let parts = known(&outer(scopes, *count)?.components, *index)?;
            define(&mut scopes[innermost].components, parts)
        }
        _ => Ok(()),
    }
}

fn outer(scopes: &[Scope], count: u32) -> Result<&Scope, String> {
    let found = (scopes.len() - 1).checked_sub(count as usize).and_then(|number| scopes.get(number));
    found.ok_or_else(|| broken("an alias leads out of it"))
}

fn known(defined: &[Parts], index: u32) -> Result<Parts, String> {
    defined.get(index as usize).copied().ok_or_else(|| broken("it instantiates what it does not define"))
}

fn define(defined: &mut Vec<Parts>, parts: Parts) -> Result<(), String> {
    if defined.len() == DEFINITIONS_MAX {
        return Err(format!("defines more than {DEFINITIONS_MAX} modules or components"));
    }
    defined.push(parts);
    Ok(())
}

fn foreign(how: &str) -> String {
    format!("{how} a module or a component, which this etl-host cannot count before it is instantiated")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> Result<Parts, String> {
        Parts::count(&wat::parse_str(text).expect("the text is WebAssembly"))
    }

    #[test]
    fn instances_are_multiplied_out() {
        let twice = count(
            "(component
                (core module $m (memory 1) (table 1 funcref) (table 2 funcref))
                (component $a (alias outer 1 $m (core module $n))
                    (core instance (instantiate $n)) (core instance (instantiate $n)))
                (component $b (alias outer 1 $a (component $c)) (instance (instantiate $c)) (instance (instantiate $c)))
                (instance (instantiate $b)) (core instance (instantiate $m)))",
        );
        let parts = Parts { instances: 3, core_instances: 5, memories: 5, tables: 10 };
        assert_eq!(twice.expect("counted"), parts);
        assert_eq!(parts.check().expect_err("too many"), "consists of 5 memories (limit 2)");
    }

    #[test]
    fn components_of_components_are_counted_and_not_built() {
        let mut text = "(component (core module $m) (component $c0 (alias outer 1 $m (core module $n))
            (core instance (instantiate $n)))"
            .to_owned();
        for level in 1..=20 {
            let instances = format!("(instance (instantiate $c{}))", level - 1).repeat(100);
            let inner = instances.replace(&format!("$c{}", level - 1), "$inner");
            text += &format!("(component $c{level} (alias outer 1 $c{} (component $inner)) {inner})", level - 1);
        }
        text += "(instance (instantiate $c20)))";
        let parts = count(&text).expect("counted");
        assert_eq!(parts.core_instances, u64::MAX);
        let refused = parts.check().expect_err("too many");
        assert_eq!(refused, format!("consists of {} component instances (limit 1000)", u64::MAX));
    }

    #[test]
    fn what_comes_from_elsewhere_is_refused() {
        let imported = count("(component (import \"a\" (core module)))").expect_err("not counted");
        assert!(imported.starts_with("imports a module or a component"), "{imported}");
        let taken = count(
            "(component (component $c (core module $m) (export \"m\" (core module $m)))
                (instance $i (instantiate $c)) (alias export $i \"m\" (core module $n)) (core instance (instantiate $n)))",
        );
        let taken = taken.expect_err("not counted");
        assert!(taken.starts_with("takes from an instance a module or a component"), "{taken}");
    }

    #[test]
    fn exports_have_numbers_of_their_own() {
        let parts = count(
            "(component (core module $m (memory 1)) (export $again \"m\" (core module $m))
                (core instance (instantiate $again)))",
        );
        assert_eq!(parts.expect("counted"), Parts { core_instances: 1, memories: 1, ..Parts::default() });
    }
}
