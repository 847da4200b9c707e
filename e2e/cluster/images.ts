/** Container images, built without a registry: on a base put together from Debian's packages and Node.js. */
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { execute } from '../lib/execute.ts'
import type { ClusterLayout } from './cluster-layout.ts'
import { PAUSE_IMAGE } from './configuration.ts'
import { cacheFolder } from './programs.ts'
import { step } from './steps.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const BASE = 'localhost/headgate-e2e-base'
const BUILD_BASE = 'localhost/headgate-e2e-build-base'
const LIBRARIES = ['libc6', 'libstdc++6', 'libgcc-s1', 'libatomic1', 'ca-certificates']
/** What npm and the steps of the Dockerfile call besides. */
const AUTHORITIES = '/etc/ssl/certs/ca-certificates.crt'
const REDIS_PACKAGE = 'redis-server'
const TOOLS = ['dash', 'coreutils', 'findutils']

const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }

/** As the chart and the manifests name it, without a registry to fetch it from. */
export const HEADGATE_IMAGE = `docker.io/library/headgate:${version}`

export const REDIS_IMAGE = 'docker.io/library/headgate-e2e-redis:debian'

/** The archive of the image that holds a pod's namespaces. */
export async function pauseImage(programs: string): Promise<string> {
  const archive = join(programs, 'pause.tar')
  if (existsSync(archive)) return archive
  const folder = join(programs, 'pause')
  writeFileSync(join(folder, 'Dockerfile'), 'FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n')
  await build(folder, PAUSE_IMAGE, [])
  await save(PAUSE_IMAGE, archive)
  return archive
}

/** The archive of an image with Debian's Redis, which runs as whoever the pod says. */
export async function redisImage(): Promise<string> {
  const archive = join(
    imagesFolder(),
    `redis-${createHash('sha256').update(REDIS_PACKAGE).digest('hex').slice(0, 8)}.tar`,
  )
  if (existsSync(archive)) return archive
  await step('Redis image', 60, async () => {
    const folder = join(imagesFolder(), `redis-${process.pid}`)
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder, { recursive: true })
    await execute('mmdebstrap', [
      ...['--quiet', '--variant=extract', `--include=${REDIS_PACKAGE}`, 'bookworm', join(folder, 'root.tar')],
    ])
    writeFileSync(join(folder, 'Dockerfile'), 'FROM scratch\nADD root.tar /\nENTRYPOINT ["/usr/bin/redis-server"]\n')
    await build(folder, REDIS_IMAGE, [])
    await save(REDIS_IMAGE, archive)
    rmSync(folder, { recursive: true })
  })
  return archive
}

export async function importImage(layout: ClusterLayout, archive: string): Promise<void> {
  await execute('ctr', ['-a', join(layout.state, 'containerd.sock'), '-n', 'k8s.io', 'images', 'import', archive])
}

/**
 * The archive of Headgate's image, built from the project's Dockerfile; the one of the last time where nothing changed.
 */
export async function headgateImage(): Promise<string> {
  const archive = join(imagesFolder(), `headgate-${digestOf(INGREDIENTS)}.tar`)
  if (existsSync(archive)) return archive
  await step('base images', 60, provideBases)
  await step('Headgate image', 150, async () => {
    const args = hostFiles().map(([path, mode]) => `--volume=${path}:${path}:${mode}`)
    await build(ROOT, HEADGATE_IMAGE, [...args, `--build-arg=BASE=${BASE}`, `--build-arg=BUILD_BASE=${BUILD_BASE}`])
    await save(HEADGATE_IMAGE, archive)
    await buildah('rmi', HEADGATE_IMAGE)
  })
  for (const file of readdirSync(imagesFolder())) {
    if (/^headgate-.*\.tar$/.test(file) && join(imagesFolder(), file) !== archive) rmSync(join(imagesFolder(), file))
  }
  const megabytes = (statSync(archive).size / 1e6).toFixed(0)
  console.log(`${HEADGATE_IMAGE}: ${megabytes} MB with its base`)
  return archive
}

/** npm's cache and settings of this machine, and whom it trusts, in the places that the base for building names. */
function hostFiles(): (readonly [path: string, mode: string])[] {
  const cache = join(homedir(), '.npm')
  mkdirSync(cache, { recursive: true })
  return (
    [
      [cache, 'rw'],
      [join(homedir(), '.npmrc'), 'ro'],
      [AUTHORITIES, 'ro'],
    ] as const
  ).filter(([path]) => existsSync(path))
}

/** What runs the image, and what compiles it: the same with npm and a shell. */
async function provideBases(): Promise<void> {
  const folder = join(imagesFolder(), `base-${basesDigest()}`)
  if (existsSync(join(folder, 'complete'))) return
  rmSync(folder, { recursive: true, force: true })
  await base(BASE, join(folder, 'run'), LIBRARIES)
  const npm = dirname(dirname(realpathSync((await execute('which', ['npm'])).trim())))
  await base(BUILD_BASE, join(folder, 'build'), [...LIBRARIES, ...TOOLS], [npm], {
    HOME: homedir(),
    NODE_EXTRA_CA_CERTS: AUTHORITIES,
  })
  writeFileSync(join(folder, 'complete'), '')
}

async function base(
  image: string,
  folder: string,
  packages: readonly string[],
  modules: readonly string[] = [],
  environment: Readonly<Record<string, string>> = {},
): Promise<void> {
  const local = join(folder, 'local')
  mkdirSync(join(local, 'bin'), { recursive: true })
  const include = `--include=${packages.join(',')}`
  await execute('mmdebstrap', ['--quiet', '--variant=extract', include, 'bookworm', join(folder, 'base.tar')])
  cpSync(process.execPath, join(local, 'bin', 'node'), { dereference: true })
  for (const path of modules) {
    cpSync(path, join(local, 'lib', 'node_modules', basename(path)), { recursive: true, dereference: true })
    symlinkSync(
      `../lib/node_modules/${basename(path)}/bin/${basename(path)}-cli.js`,
      join(local, 'bin', basename(path)),
    )
  }
  const variables = Object.entries({ PATH: '/usr/local/bin:/usr/bin:/bin', ...environment })
  const lines = [
    'FROM scratch',
    'ADD base.tar /',
    'COPY local /usr/local',
    ...variables.map(([k, v]) => `ENV ${k}=${v}`),
  ]
  writeFileSync(join(folder, 'Dockerfile'), `${lines.join('\n')}\n`)
  await build(folder, image, [])
  rmSync(folder, { recursive: true })
}

/** Everything that gets into the image. */
const INGREDIENTS = [
  'Dockerfile',
  '.dockerignore',
  '.npmrc',
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'tsconfig.example.json',
  'LICENSE',
  'bin',
  'src',
  'crds',
  'schemas',
  'examples/service',
]

function digestOf(paths: readonly string[]): string {
  const digest = createHash('sha256').update(basesDigest())
  for (const path of paths) {
    const full = join(ROOT, path)
    if (!existsSync(full)) continue
    const files = statSync(full).isDirectory() ? filesBelow(full) : [full]
    for (const file of files) digest.update(`${file}\0`).update(readFileSync(file))
  }
  return digest.digest('hex').slice(0, 16)
}

const filesBelow = (folder: string) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()

const basesDigest = () =>
  createHash('sha256')
    .update(JSON.stringify([process.version, LIBRARIES, TOOLS]))
    .digest('hex')
    .slice(0, 16)

const imagesFolder = () => join(cacheFolder(), 'images')

async function build(context: string, image: string, args: readonly string[]): Promise<void> {
  await buildah('bud', '--isolation=chroot', '--format=docker', ...args, '-t', image, context)
}

/** Writes an image as an archive that containerd and Docker read. */
async function save(image: string, archive: string): Promise<void> {
  const partial = `${archive}.${process.pid}`
  await buildah('push', image, `docker-archive:${partial}:${image}`)
  renameSync(partial, archive)
}

/** With storage of its own. vfs works everywhere, also where this runs on an overlay itself. */
async function buildah(...args: string[]): Promise<void> {
  const folder = imagesFolder()
  mkdirSync(folder, { recursive: true })
  const storage = ['--root', join(folder, 'store'), '--runroot', join(folder, 'run'), '--storage-driver', 'vfs']
  await execute('buildah', [...storage, ...args], { timeout: 900_000 })
}
