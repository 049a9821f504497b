//! The macros that turn a crate with a step into a component. They make the exports of its world, around one step per
//! instance.

/// Turns the crate into a map plugin that runs a [`LineMapper`](crate::LineMapper). Use it once.
#[macro_export]
macro_rules! export_line_mapper {
    ($mapper:ty) => {
        $crate::export_mapper!($crate::Lines<$mapper>);
    };
}

/// Turns the crate into a map plugin that runs a [`Mapper`](crate::Mapper). Use it once.
#[macro_export]
macro_rules! export_mapper {
    ($mapper:ty) => {
        #[allow(unsafe_code, clippy::allow_attributes, reason = "exports are generated with unsafe attributes")]
        const _: () = {
            $crate::step!($crate::MapRunner<$mapper>);
            $crate::sections!(<$mapper as $crate::Mapper>::Config);

            impl $crate::bindings::map::exports::etl::plugin::mapper::Guest for Component {
                fn open(
                    context: $crate::bindings::map::etl::plugin::types::Context,
                ) -> Result<$crate::bindings::map::etl::plugin::types::Schema, $crate::StepError> {
                    let (runner, schema) = $crate::MapRunner::open(context)?;
                    STEP.set(Some(runner));
                    Ok(schema)
                }

                fn process(batch: $crate::bindings::map::etl::plugin::types::Batch) -> Result<(), $crate::StepError> {
                    STEP.with_borrow_mut(|step| $crate::opened(step).process(batch))
                }

                fn finish() -> Result<(), $crate::StepError> {
                    STEP.with_borrow_mut(|step| $crate::opened(step).finish())
                }
            }

            // A native linker does not accept the names of the exports as symbols.
            #[cfg(not(target_arch = "wasm32"))]
            let _ = <Component as $crate::bindings::map::exports::etl::plugin::mapper::Guest>::open;
            #[cfg(target_arch = "wasm32")]
    $crate::bindings::map::export!(Component with_types_in $crate::bindings::map);
        };
    };
}

/// Turns the crate into a reduce plugin that runs a [`Reducer`](crate::Reducer). Use it once.
#[macro_export]
macro_rules! export_reducer {
    ($reducer:ty) => {
        #[allow(unsafe_code, clippy::allow_attributes, reason = "exports are generated with unsafe attributes")]
        const _: () = {
            $crate::step!($crate::ReduceRunner<$reducer>);
            $crate::sections!(<$reducer as $crate::Reducer>::Config);

            impl $crate::bindings::reduce::exports::etl::plugin::reducer::Guest for Component {
                fn open(
                    context: $crate::bindings::map::etl::plugin::types::Context,
                ) -> Result<$crate::bindings::map::etl::plugin::types::Schema, $crate::StepError> {
                    let (runner, schema) = $crate::ReduceRunner::open(context)?;
                    STEP.set(Some(runner));
                    Ok(schema)
                }

                fn process(
                    batch: $crate::bindings::map::etl::plugin::types::Batch,
                    group_ends: Vec<u32>,
                    last_group_continues: bool,
                ) -> Result<(), $crate::StepError> {
                    STEP.with_borrow_mut(|step| $crate::opened(step).process(batch, &group_ends, last_group_continues))
                }

                fn finish() -> Result<(), $crate::StepError> {
                    STEP.with_borrow_mut(|step| $crate::opened(step).finish())
                }
            }

            // A native linker does not accept the names of the exports as symbols.
            #[cfg(not(target_arch = "wasm32"))]
            let _ = <Component as $crate::bindings::reduce::exports::etl::plugin::reducer::Guest>::open;
            #[cfg(target_arch = "wasm32")]
    $crate::bindings::reduce::export!(Component with_types_in $crate::bindings::reduce);
        };
    };
}

/// Turns the crate into a split plugin that runs a [`Splitter`](crate::Splitter). Use it once.
#[macro_export]
macro_rules! export_splitter {
    ($splitter:ty) => {
        #[allow(unsafe_code, clippy::allow_attributes, reason = "exports are generated with unsafe attributes")]
        const _: () = {
            $crate::step!($crate::SplitRunner<$splitter>);
            $crate::sections!(<$splitter as $crate::Splitter>::Config);

            impl $crate::bindings::split::exports::etl::plugin::splitter::Guest for Component {
                fn open(context: $crate::bindings::map::etl::plugin::types::Context) -> Result<(), $crate::StepError> {
                    STEP.set(Some($crate::SplitRunner::open(context)?));
                    Ok(())
                }

                fn split() -> Result<(), $crate::StepError> {
                    STEP.with_borrow_mut(|step| $crate::opened(step).split())
                }
            }

            // A native linker does not accept the names of the exports as symbols.
            #[cfg(not(target_arch = "wasm32"))]
            let _ = <Component as $crate::bindings::split::exports::etl::plugin::splitter::Guest>::open;
            #[cfg(target_arch = "wasm32")]
    $crate::bindings::split::export!(Component with_types_in $crate::bindings::split);
        };
    };
}

/// Declares the type that implements the exports, and the variable that holds the instance's step from `open` on.
#[doc(hidden)]
#[macro_export]
macro_rules! step {
    ($runner:ty) => {
        struct Component;

        std::thread_local! {
            static STEP: std::cell::RefCell<Option<$runner>> = const { std::cell::RefCell::new(None) };
        }
    };
}

/// Adds sections to the plugin's file that are not part of its code: the schema of its configuration, and the name and
/// version of the SDK.
#[doc(hidden)]
#[macro_export]
macro_rules! sections {
    ($config:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            const SCHEMA: $crate::SchemaText = <$config as $crate::Describe>::SCHEMA;

            #[unsafe(link_section = "etl:config-schema")]
            static CONFIG_SCHEMA: [u8; SCHEMA.len()] = SCHEMA.to_array();

            #[unsafe(link_section = "etl:sdk")]
            static SDK: [u8; $crate::SDK.len()] = $crate::SchemaText::new().text($crate::SDK).to_array();
        };
    };
}

/// This crate's name and version.
#[doc(hidden)]
pub const SDK: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

/// Returns the step of this instance.
#[doc(hidden)]
pub fn opened<S>(step: &mut Option<S>) -> &mut S {
    step.as_mut().expect("the host calls `open` first, and calls nothing else if `open` failed")
}
