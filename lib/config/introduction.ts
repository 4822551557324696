/** The hand-written part of docs/configuration.md. */

export const INTRODUCTION = `# Configuration

<!-- Generated from the schema: node lib/config/document.ts > docs/configuration.md -->

One YAML file, \`virtual-services.yaml\` unless another is named. It is checked whole before anything changes, and every
problem is shown at once, with its place:

\`\`\`
virtual-services.yaml:14:16 virtualServices.shop.backends[1].address: port 70000 is above 65535
\`\`\`

A small one:

\`\`\`yaml
version: 1
virtualServices:
  shop:
    listen: ["0.0.0.0:80"]
    protocol: http
    backends:
      - 10.0.0.11:8080
      - { name: b2, address: 10.0.0.12:8080, weight: 2 }
\`\`\`

**Values.** A *duration* is a number with \`ms\`, \`s\`, \`m\` or \`h\`, or \`0\`; at most \`24h\`. A *size* is a number of bytes,
or a number with \`KiB\`, \`MiB\` or \`GiB\`. A *percentage* is \`5%\` or \`0.05\`. *Status codes* are \`200\`, \`200-399\`,
\`200,204\` or a list of these. An *address:port* has an IP address, IPv6 in brackets; where it is listened on, a range of
ports (\`8000-8010\`) too, and port 0 lets the system choose. A *CIDR* is \`10.0.0.0/8\`, or a single address. A key that is
not known is an error. Anchors and aliases work, merge keys (\`<<\`) and tags do not.

**Environment.** \`\${NAME}\` in a value is replaced by that environment variable, \`\${NAME:-default}\` by the default where
the variable is unset or empty; \`$\${\` is a literal \`\${\`. A variable that is unset and has no default is an error. What
is not in quotes is read again: \`threads: \${THREADS:-2}\` is a number. Inside \`{ }\` and \`[ ]\` it has to stand in quotes,
as YAML would read the braces. Keys are not replaced.

**Several files.** \`include:\` takes a glob or a list of them, relative to the folder of the file. An included file may
have \`version\` and \`virtualServices\` only, and each name of a service may be used once. A glob may match nothing, a
plain name must exist. Paths of certificates are relative to the folder of the file that names them.

**Defaults.** \`defaults:\` takes the keys of a service and is merged under every service: what a service sets itself wins,
objects are merged key by key, lists are replaced. \`tls\` in it is for those services that speak TLS.

**Listeners** of all services, and \`admin.listen\`, must not overlap. \`0.0.0.0\` and \`[::]\` are all addresses of their
family. At most 4096 services, and 4096 listening sockets over all.
`
