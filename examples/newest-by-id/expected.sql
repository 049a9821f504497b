-- Run in this directory: duckdb < expected.sql
COPY (
    SELECT id, name, status, balance,
        regexp_replace(strftime(updated_at, '%Y-%m-%dT%H:%M:%S.%gZ'), '\.000Z$', 'Z') AS updated_at
    FROM (
        SELECT *, row_number() OVER (PARTITION BY id ORDER BY updated_at DESC, filename DESC, row DESC) AS place
        FROM (
            SELECT *, row_number() OVER () AS row
            FROM read_csv('input/*.csv', filename = true, columns = {
                id: 'BIGINT', name: 'VARCHAR', status: 'VARCHAR', balance: 'DECIMAL(10,2)', updated_at: 'TIMESTAMP'
            })
        )
    )
    WHERE place = 1
    ORDER BY id
) TO 'expected/part-00000.csv' (HEADER);
