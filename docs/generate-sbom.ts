/**
 * What is in the image and the package besides our own code, by the lock file: docs/sbom.md, and the same in CycloneDX
 * for the image. (`npm sbom` leaves out a tenth of what `npm ci --omit=dev` installs.)
 *
 *     node docs/generate-sbom.ts               writes the page
 *     node docs/generate-sbom.ts --check       fails where the page differs
 *     node docs/generate-sbom.ts --cyclonedx   prints CycloneDX
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { wrapProse } from './wrap-prose.ts'

interface Locked {
  readonly version: string
  readonly license?: string
  readonly integrity?: string
  readonly dev?: boolean
  readonly optional?: boolean
  readonly hasInstallScript?: boolean
}

interface Package {
  readonly name: string
  readonly version: string
  readonly license: string
  /** Base64. */
  readonly sha512: string
  readonly direct: boolean
}

const root = new URL('../', import.meta.url)
const PAGE = new URL('docs/sbom.md', root)
const MODULES = 'node_modules/'

const lock = JSON.parse(readFileSync(new URL('package-lock.json', root), 'utf8')) as {
  readonly version: string
  readonly packages: Readonly<Record<string, Locked & { readonly dependencies?: Readonly<Record<string, string>> }>>
}

/** Those that `npm ci --omit=dev --omit=optional` installs. */
function productionPackages(): Package[] {
  const direct = Object.keys(lock.packages['']?.dependencies ?? {})
  return Object.entries(lock.packages)
    .filter(([path, { dev, optional }]) => path !== '' && !dev && !optional)
    .map(([path, { version, license, integrity, hasInstallScript }]) => {
      const name = path.slice(path.lastIndexOf(MODULES) + MODULES.length)
      if (hasInstallScript) throw new Error(`${name} has an install script`)
      const sha512 = integrity?.startsWith('sha512-') ? integrity.slice('sha512-'.length) : undefined
      if (license === undefined || sha512 === undefined)
        throw new Error(`${name}: no licence or digest in the lock file`)
      return { name, version, license, sha512, direct: path === `${MODULES}${name}` && direct.includes(name) }
    })
}

export function sbomPage(): string {
  const packages = productionPackages()
  const licenses = [...Map.groupBy(packages, ({ license }) => license)].map(([name, { length }]) => ({ name, length }))
  const counts = licenses.toSorted((a, b) => b.length - a.length).map(({ name, length }) => `${name} ${length}`)
  const direct = packages.filter((entry) => entry.direct)
  return wrapProse(`# Bill of materials

Written by \`docs/generate-sbom.ts\` from the lock file. ${packages.length} packages are in the image and are installed with the npm package; ${direct.length} of them are direct dependencies ([reasons](dependencies.md)), the others are transitive. None has an install script. By licence: ${counts.join(', ')}.

In addition, there are Node.js 26 and the libraries of the base image (or, from npm, one \`node-*\` package for the platform). In the image \`/app/sbom.cdx.json\` contains the same list in CycloneDX, with SHA-512 digests:

\`\`\`
kubectl --namespace headgate-system exec deployment/headgate -- node -p "fs.readFileSync('/app/sbom.cdx.json', 'utf8')"
\`\`\`

| package | version | licence | |
|---|---|---|---|
${packages.map((entry) => `| \`${entry.name}\` | ${entry.version} | ${entry.license} | ${entry.direct ? 'direct' : ''} |`).join('\n')}
`)
}

export function cycloneDx(): string {
  const components = productionPackages().map(({ name, version, license, sha512 }) => {
    const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`
    const hashes = [{ alg: 'SHA-512', content: Buffer.from(sha512, 'base64').toString('hex') }]
    const licenses = [/[ ()]/.test(license) ? { expression: license } : { license: { id: license } }]
    return { type: 'library', 'bom-ref': purl, name, version, purl, licenses, hashes }
  })
  const component = { type: 'application', name: 'headgate', version: lock.version }
  return `${JSON.stringify({ bomFormat: 'CycloneDX', specVersion: '1.5', version: 1, metadata: { component }, components }, null, 1)}\n`
}

if (import.meta.main) {
  if (process.argv.includes('--cyclonedx')) process.stdout.write(cycloneDx())
  else if (!process.argv.includes('--check')) writeFileSync(PAGE, sbomPage())
  else if (readFileSync(PAGE, 'utf8') !== sbomPage()) {
    console.error('docs/sbom.md is not what docs/generate-sbom.ts writes; run it')
    process.exitCode = 1
  }
}
