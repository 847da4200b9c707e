/**
 * The programs of the cluster: one built from Go sources of fixed versions, in a folder outside the repository that is
 * named after them and used again; the others from Debian.
 */
import { createHash } from 'node:crypto'
import { accessSync, constants, cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { symlink } from 'node:fs/promises'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { attempt, execute } from '../lib/execute.ts'
import { step } from './steps.ts'

const SOURCES = fileURLToPath(new URL('programs', import.meta.url))
const KUBERNETES = '1.37.2'
const NAMES = [
  'coredns',
  'etcd',
  'helm',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-proxy',
  'kube-scheduler',
  'kubectl',
  'kubelet',
]

/** Programs by the Debian package that brings them. */
const DEBIAN: Readonly<Record<string, string>> = {
  containerd: 'containerd',
  runc: 'runc',
  buildah: 'buildah',
  mmdebstrap: 'mmdebstrap',
  iptables: 'iptables',
  ip: 'iproute2',
  openssl: 'openssl',
  nsenter: 'util-linux',
  '/usr/lib/cni/bridge': 'containernetworking-plugins',
}

/** Where everything lies that is kept between runs. */
export function cacheFolder(): string {
  return join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'headgate', 'e2e')
}

/** Folder of the programs of these versions, there or not. */
export function programsFolder(): string {
  const digest = createHash('sha256')
  for (const file of ['go.mod', 'go.sum', 'main.go', 'pause/main.go']) digest.update(readFileSync(join(SOURCES, file)))
  return join(cacheFolder(), digest.digest('hex').slice(0, 16))
}

/** What of Debian is not here; installed where that is possible. */
export async function provideDebian(): Promise<void> {
  const missing = Object.keys(DEBIAN).filter((program) => !isThere(program))
  if (missing.length === 0) return
  const packages = [...new Set(missing.map((program) => DEBIAN[program]!))]
  const apt = `apt-get install -y --no-install-recommends ${packages.join(' ')}`
  if (!isThere('apt-get'))
    throw new Error(`missing programs: ${missing.join(', ')} (Debian has them in ${packages.join(', ')})`)
  const env = { DEBIAN_FRONTEND: 'noninteractive' }
  await step(`packages: ${packages.join(' ')}`, 90, async () => {
    const [program, ...args] = apt.split(' ') as [string, ...string[]]
    if ((await attempt(program, args, { env })).code === 0) return
    await execute('apt-get', ['update'], { env })
    await execute(program, args, { env })
  })
}

/** Builds what is not there yet; the folder with `bin/` and `pause/`. */
export async function providePrograms(): Promise<string> {
  const folder = programsFolder()
  if (existsSync(join(folder, 'bin', 'kubectl')) && existsSync(join(folder, 'pause', 'pause'))) return folder
  if (!isThere('go')) throw new Error('the cluster is built from source: go 1.26 or later must be on the PATH')
  const partial = `${folder}.${process.pid}`
  try {
    await step(`build Kubernetes ${KUBERNETES}, etcd, CoreDNS, helm`, 600, () => build(partial))
    rmSync(folder, { recursive: true, force: true })
    renameSync(partial, folder)
  } finally {
    rmSync(partial, { recursive: true, force: true })
  }
  return folder
}

async function build(folder: string): Promise<void> {
  mkdirSync(join(folder, 'bin'), { recursive: true })
  mkdirSync(join(folder, 'pause'))
  cpSync(SOURCES, join(folder, 'src'), { recursive: true })
  const [major, minor] = KUBERNETES.split('.')
  const version = 'k8s.io/component-base/version'
  const flags = `-s -w -X ${version}.gitVersion=v${KUBERNETES} -X ${version}.gitMajor=${major} -X ${version}.gitMinor=${minor}`
  const options = { cwd: join(folder, 'src'), env: { CGO_ENABLED: '0' }, timeout: 3_600_000 }
  const go = (output: string, source: string) =>
    execute('go', ['build', '-trimpath', '-mod=readonly', `-ldflags=${flags}`, '-o', output, source], options)
  await go(join(folder, 'bin', 'cluster'), '.')
  await go(join(folder, 'pause', 'pause'), './pause')
  for (const name of NAMES) await symlink('cluster', join(folder, 'bin', name))
}

function isThere(program: string): boolean {
  const places = program.startsWith('/')
    ? [program]
    : [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'].map((folder) => join(folder, program))
  return places.some((layout) => {
    try {
      accessSync(layout, constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
