/** The files that the programs of the cluster read. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { execute } from '../lib/execute.ts'
import { BRIDGE } from './network.ts'
import { DNS_ADDRESS, type Place } from './place.ts'

export const PAUSE_IMAGE = 'localhost/pause:1'

/** Who did what with which resource: answers which rights an installation uses. */
const AUDIT_POLICY = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [
    { level: 'None', userGroups: ['system:serviceaccounts:kube-system'] },
    { level: 'Metadata', userGroups: ['system:serviceaccounts'] },
    { level: 'None' },
  ],
}

export async function writeConfiguration(place: Place): Promise<void> {
  const write = (file: string, text: string) => writeFileSync(join(place.state, file), text)
  mkdirSync(join(place.state, 'cni'), { recursive: true })
  write('audit-policy.json', JSON.stringify(AUDIT_POLICY, null, 2))
  write('cni/10-bridge.conflist', JSON.stringify(podNetwork(place), null, 2))
  write('kubelet.json', JSON.stringify(kubelet(place), null, 2))
  write('containerd.toml', await containerd(place))
  write('Corefile', corefile(place))
}

const podNetwork = (place: Place) => ({
  cniVersion: '1.0.0',
  name: 'pods',
  plugins: [
    {
      type: 'bridge',
      bridge: BRIDGE,
      isGateway: true,
      ipMasq: false,
      hairpinMode: true,
      ipam: {
        type: 'host-local',
        ranges: [[{ subnet: '10.244.0.0/24' }], [{ subnet: 'fd00:10:244::/64' }]],
        routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
        dataDir: join(place.state, 'addresses'),
      },
    },
    { type: 'portmap', capabilities: { portMappings: true } },
  ],
})

const kubelet = (place: Place) => ({
  apiVersion: 'kubelet.config.k8s.io/v1beta1',
  kind: 'KubeletConfiguration',
  address: '0.0.0.0',
  authentication: {
    anonymous: { enabled: false },
    webhook: { enabled: false },
    x509: { clientCAFile: join(place.state, 'certificates', 'ca.crt') },
  },
  authorization: { mode: 'AlwaysAllow' },
  // Without it `kubectl logs`, `exec` and `port-forward` fail: the API server checks it.
  tlsCertFile: join(place.state, 'certificates', 'node.crt'),
  tlsPrivateKeyFile: join(place.state, 'certificates', 'node.key'),
  containerRuntimeEndpoint: `unix://${join(place.state, 'containerd.sock')}`,
  cgroupDriver: 'cgroupfs',
  cgroupRoot: `/${place.name}`,
  failCgroupV1: false,
  failSwapOn: false,
  resolvConf: '',
  clusterDomain: 'cluster.local',
  clusterDNS: [DNS_ADDRESS],
  maxPods: 200,
  serializeImagePulls: false,
  imageGCHighThresholdPercent: 100,
  evictionHard: { 'memory.available': '50Mi', 'nodefs.available': '0%', 'imagefs.available': '0%' },
  enforceNodeAllocatable: [],
})

/** Debian's defaults, with places of its own and without what an unprivileged root may not do. */
async function containerd(place: Place): Promise<string> {
  const changes: readonly (readonly [RegExp, string])[] = [
    [/^root = .*/m, `root = "${join(place.state, 'containerd')}"`],
    [/^state = .*/m, `state = "${join(place.state, 'containerd-state')}"`],
    [/\/run\/containerd\/containerd\.sock/g, join(place.state, 'containerd.sock')],
    [/sandbox_image = .*/, `sandbox_image = "${PAUSE_IMAGE}"`],
    [/bin_dir = "\/opt\/cni\/bin"/, 'bin_dir = "/usr/lib/cni"'],
    [/conf_dir = "\/etc\/cni\/net\.d"/, `conf_dir = "${join(place.state, 'cni')}"`],
    [/disable_apparmor = false/, 'disable_apparmor = true'],
    // Without CAP_SYS_RESOURCE: "can't get final child's PID from pipe: EOF" otherwise.
    [/restrict_oom_score_adj = false/, 'restrict_oom_score_adj = true'],
    // So that everything mounted lies below the state folder.
    [/netns_mounts_under_state_dir = false/, 'netns_mounts_under_state_dir = true'],
  ]
  let text = await execute('containerd', ['config', 'default'])
  for (const [pattern, replacement] of changes) {
    const changed = text.replace(pattern, replacement)
    if (changed === text) throw new Error(`this containerd has no setting like ${pattern}`)
    text = changed
  }
  return text
}

const corefile = (place: Place) => `.:53 {
  errors
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    kubeconfig ${join(place.state, 'dns.kubeconfig')} e2e
    ttl 5
  }
}
`
