//! The cluster as kubectl prints it, for messages of tests that failed.
use crate::Cluster;
use knarr_kinds::Kind;
use serde_json::Value;

/// What is shown, in this order; an empty collection is left out.
const SHOWN: [&str; 7] = ["nodes", "deployments", "replicasets", "pods", "services", "endpointslices", "events"];

impl Cluster {
    /// Tables of what there is.
    pub fn show(&self) -> String {
        let tables = SHOWN.iter().filter_map(|plural| self.table(plural));
        format!("{}\n{}", self.now(), tables.collect::<Vec<_>>().join("\n"))
    }

    fn table(&self, plural: &str) -> Option<String> {
        let kind = self.collection(plural);
        let objects = self.objects(plural);
        let rows = objects.iter().map(|object| self.row(&kind, object)).collect::<Vec<_>>();
        if rows.is_empty() {
            return None;
        }
        let columns = kind.columns.iter().filter(|column| !column.wide).map(|column| column.name.to_uppercase());
        let header = kind.namespaced.then(|| "NAMESPACE".to_owned()).into_iter().chain(columns).collect();
        Some(layout(&[vec![header], rows].concat()))
    }

    fn row(&self, kind: &Kind, object: &Value) -> Vec<String> {
        let namespace = kind.namespaced.then(|| text(&object["metadata"]["namespace"]));
        let cells = kind.columns.iter().filter(|column| !column.wide).map(|column| text(&(column.cell)(object, self.now())));
        namespace.into_iter().chain(cells).collect()
    }
}

fn text(cell: &Value) -> String {
    cell.as_str().map_or_else(|| cell.to_string(), ToOwned::to_owned)
}

/// Columns as wide as their widest cell, three spaces apart.
fn layout(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(column, cell)| format!("{cell:<wide$}", wide = width(column)));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::layout;

    #[test]
    fn columns_line_up() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        assert_eq!(layout(&[row(["NAME", "AGE"]), row(["web-1", "5s"])]), "NAME    AGE\nweb-1   5s\n");
    }
}
