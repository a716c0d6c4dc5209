-- What Label Studio needs, made or set right at every start: a restored password file works by itself.
\set ON_ERROR_STOP on
\set password `cat /var/lib/postgresql/client/postgres_password`
SET log_min_error_statement = panic; -- a statement with the password must not be logged
SELECT 'CREATE ROLE labelstudio LOGIN'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'labelstudio') \gexec
ALTER ROLE labelstudio PASSWORD :'password';
SELECT 'CREATE DATABASE labelstudio OWNER labelstudio'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'labelstudio') \gexec
