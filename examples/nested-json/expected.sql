-- Run in this directory: duckdb < expected.sql
COPY (
    SELECT actor.login AS login, sum(payload.size) AS commits, count(*) AS events
    FROM read_json('input/*.json', columns = {
        actor: 'STRUCT(login VARCHAR)', payload: 'STRUCT(size BIGINT)', org: 'JSON', created_at: 'TIMESTAMP'
    })
    WHERE org IS NULL AND created_at >= TIMESTAMP '2026-11-27 10:30:00'
    GROUP BY login
    ORDER BY login
) TO 'expected/part-00000.json' (FORMAT json);
