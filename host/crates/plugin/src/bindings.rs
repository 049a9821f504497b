//! Host bindings for `wit/`, generated at compile time.
//!
//! The bindings use one world that imports and exports every interface of the package, because the host binds each
//! interface separately. [`super::component`] checks which interfaces a component may use, against the real worlds.

wasmtime::component::bindgen!({
    path: "../../../wit",
    inline: "
        package etl:host;
        world host {
            import etl:plugin/diagnostics@0.2.0;
            import etl:plugin/output@0.2.0;
            import etl:plugin/source@0.2.0;
            import etl:plugin/shards@0.2.0;
            export etl:plugin/mapper@0.2.0;
            export etl:plugin/reducer@0.2.0;
            export etl:plugin/splitter@0.2.0;
        }
    ",
    world: "etl:host/host",
    ownership: Borrowing { duplicate_if_necessary: true },
    imports: { default: trappable },
});
