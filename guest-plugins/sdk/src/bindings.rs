//! The bindings that `wit-bindgen` generates from `wit/`: one module per world. `reduce` and `split` share the types of
//! `map`.
//!
//! A component imports only what its own world names, because each world's `export!` macro adds the description of
//! that world and of no other.

pub mod map {
    wit_bindgen::generate!({
        world: "map-plugin",
        path: "../../wit",
        pub_export_macro: true,
        default_bindings_module: "etl_plugin::bindings::map",
        runtime_path: "::etl_plugin::wit_bindgen::rt",
        additional_derives: [PartialEq],
    });
}

pub mod reduce {
    wit_bindgen::generate!({
        world: "reduce-plugin",
        path: "../../wit",
        pub_export_macro: true,
        default_bindings_module: "etl_plugin::bindings::reduce",
        runtime_path: "::etl_plugin::wit_bindgen::rt",
        with: {
            "etl:plugin/types@0.1.0": crate::bindings::map::etl::plugin::types,
            "etl:plugin/diagnostics@0.1.0": crate::bindings::map::etl::plugin::diagnostics,
            "etl:plugin/output@0.1.0": crate::bindings::map::etl::plugin::output,
        },
    });
}

pub mod split {
    wit_bindgen::generate!({
        world: "split-plugin",
        path: "../../wit",
        pub_export_macro: true,
        default_bindings_module: "etl_plugin::bindings::split",
        runtime_path: "::etl_plugin::wit_bindgen::rt",
        additional_derives: [PartialEq],
        with: {
            "etl:plugin/types@0.1.0": crate::bindings::map::etl::plugin::types,
            "etl:plugin/diagnostics@0.1.0": crate::bindings::map::etl::plugin::diagnostics,
        },
    });
}
