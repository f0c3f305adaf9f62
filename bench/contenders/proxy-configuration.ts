/**
 * The configurations of the proxies: what their own guides recommend for this job, so that they
 * show their best side. HAProxy: health checks, a second try on another server for every retryable
 * error, and sessions of a server that is down are ended. nginx: kept upstream connections, its
 * default second try for idempotent requests.
 */
import path from "node:path";
import type { LaunchOptions } from "./contender.ts";

export function nginxConfiguration(options: LaunchOptions, backends: readonly number[]): string {
  const { folder, port, workers } = options;
  const servers = backends.map(
    (each) => `    server 127.0.0.1:${each} max_fails=1 fail_timeout=1s;`,
  );
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `  ${name}_temp_path ${path.join(folder, name)};`,
  );
  return `worker_processes ${workers};
${process.getuid?.() === 0 ? "user root;" : ""}
pid ${path.join(folder, "nginx.pid")};
error_log stderr error;
worker_rlimit_nofile 10000;
events { worker_connections 4096; }
http {
  access_log off;
${temporary.join("\n")}
  keepalive_timeout 75s;
  keepalive_requests 1000000000;
  upstream app {
${servers.join("\n")}
    keepalive 64;
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:${port};
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
    proxy_connect_timeout 1s;
    location / { proxy_pass http://app; }
    location /sse { proxy_pass http://app; proxy_buffering off; }
  }
}
`;
}

export function haproxyConfiguration(options: LaunchOptions, backends: readonly number[]): string {
  const { port, workers } = options;
  const servers = backends.map((each, i) => `  server s${i} 127.0.0.1:${each}`);
  return `global
  nbthread ${workers}
  maxconn 8000
defaults
  mode http
  timeout connect 1s
  timeout client 75s
  timeout server 75s
  timeout http-keep-alive 75s
  retries 3
  option redispatch 1
  retry-on all-retryable-errors
frontend public
  bind 127.0.0.1:${port}
  default_backend app
backend app
  balance leastconn
  http-reuse safe
  option httpchk GET /
  timeout check 500ms
  default-server check inter 200ms fall 3 rise 1 on-marked-down shutdown-sessions
${servers.join("\n")}
`;
}
