//! The macros that make a crate with a step a component: the exports of its world, around one step per instance.

/// Makes the crate a map plugin out of a [`LineMapper`](crate::LineMapper). Use it once.
#[macro_export]
macro_rules! export_line_mapper {
    ($mapper:ty) => {
        $crate::export_mapper!($crate::Lines<$mapper>);
    };
}

/// Makes the crate a map plugin out of a [`Mapper`](crate::Mapper). Use it once.
#[macro_export]
macro_rules! export_mapper {
    ($mapper:ty) => {
        #[allow(unsafe_code, clippy::allow_attributes, reason = "exports are generated with unsafe attributes")]
        const _: () = {
            $crate::step!($crate::MapRunner<$mapper>);
            $crate::sections!(<$mapper as $crate::Mapper>::Config);

            impl $crate::bindings::map::exports::etl::plugin::mapper::Guest for Component {
                fn open(context: $crate::Context) -> Result<$crate::Schema, $crate::StepError> {
                    let (runner, schema) = $crate::MapRunner::open(&context)?;
                    STEP.set(Some(runner));
                    Ok(schema)
                }

                fn process(batch: $crate::Batch) -> Result<(), $crate::StepError> {
                    STEP.with_borrow_mut(|step| $crate::opened(step).process(&batch))
                }

                fn finish() -> Result<(), $crate::StepError> {
                    STEP.with_borrow_mut(|step| $crate::opened(step).finish())
                }
            }

            // The names of exports are no symbols a native linker takes.
            #[cfg(not(target_arch = "wasm32"))]
            let _ = <Component as $crate::bindings::map::exports::etl::plugin::mapper::Guest>::open;
            #[cfg(target_arch = "wasm32")]
    $crate::bindings::map::export!(Component with_types_in $crate::bindings::map);
        };
    };
}

/// Makes the crate a reduce plugin out of a [`Reducer`](crate::Reducer). Use it once.
#[macro_export]
macro_rules! export_reducer {
    ($reducer:ty) => {
        #[allow(unsafe_code, clippy::allow_attributes, reason = "exports are generated with unsafe attributes")]
        const _: () = {
            $crate::step!($crate::ReduceRunner<$reducer>);
            $crate::sections!(<$reducer as $crate::Reducer>::Config);

            impl $crate::bindings::reduce::exports::etl::plugin::reducer::Guest for Component {
                fn open(context: $crate::Context) -> Result<$crate::Schema, $crate::StepError> {
                    let (runner, schema) = $crate::ReduceRunner::open(&context)?;
                    STEP.set(Some(runner));
                    Ok(schema)
                }

                fn process(
                    batch: $crate::Batch,
                    group_ends: Vec<u32>,
                    last_group_continues: bool,
                ) -> Result<(), $crate::StepError> {
                    STEP.with_borrow_mut(|step| $crate::opened(step).process(&batch, &group_ends, last_group_continues))
                }

                fn finish() -> Result<(), $crate::StepError> {
                    STEP.with_borrow_mut(|step| $crate::opened(step).finish())
                }
            }

            // The names of exports are no symbols a native linker takes.
            #[cfg(not(target_arch = "wasm32"))]
            let _ = <Component as $crate::bindings::reduce::exports::etl::plugin::reducer::Guest>::open;
            #[cfg(target_arch = "wasm32")]
    $crate::bindings::reduce::export!(Component with_types_in $crate::bindings::reduce);
        };
    };
}

/// Makes the crate a split plugin out of a [`Splitter`](crate::Splitter). Use it once.
#[macro_export]
macro_rules! export_splitter {
    ($splitter:ty) => {
        #[allow(unsafe_code, clippy::allow_attributes, reason = "exports are generated with unsafe attributes")]
        const _: () = {
            $crate::step!($crate::SplitRunner<$splitter>);
            $crate::sections!(<$splitter as $crate::Splitter>::Config);

            impl $crate::bindings::split::exports::etl::plugin::splitter::Guest for Component {
                fn open(context: $crate::Context) -> Result<(), $crate::StepError> {
                    STEP.set(Some($crate::SplitRunner::open(&context)?));
                    Ok(())
                }

                fn split() -> Result<(), $crate::StepError> {
                    STEP.with_borrow_mut(|step| $crate::opened(step).split())
                }
            }

            // The names of exports are no symbols a native linker takes.
            #[cfg(not(target_arch = "wasm32"))]
            let _ = <Component as $crate::bindings::split::exports::etl::plugin::splitter::Guest>::open;
            #[cfg(target_arch = "wasm32")]
    $crate::bindings::split::export!(Component with_types_in $crate::bindings::split);
        };
    };
}

/// Declares the type that has the exports, and the step that lives in the instance from `open` on.
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

/// Adds what is said of the plugin to its file, as sections that are no part of its code.
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
    step.as_mut().expect("the host opens a step before it uses it, and not after `open` failed")
}
