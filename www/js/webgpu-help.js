/** How to turn WebGPU on, for the browser at hand. */

/** @returns {string[]} sentences */
export function webgpuHelp(agent = navigator.userAgent) {
  if (!window.isSecureContext) return ['WebGPU exists only on secure pages: open this one through https:// or http://localhost.'];
  const acceleration = 'Turn on “Use graphics acceleration when available” in Settings, System, and start the browser again.';
  if (/iPhone|iPad/.test(agent)) return ['Update to iOS or iPadOS 26, where WebGPU is on in every browser.'];
  if (/Firefox\//.test(agent)) {
    return ['Firefox has WebGPU on Windows since version 141, and on Macs with Apple silicon since 145: update it.',
      'Elsewhere use Firefox Nightly, or set dom.webgpu.enabled to true in about:config and start Firefox again.'];
  }
  if (/Android/.test(agent)) return ['Chrome has WebGPU on Android 12 and later since version 121: update Chrome and the system.'];
  if (/Chrome\//.test(agent)) {
    const steps = ['Chrome and Edge have WebGPU since version 113: update the browser and the graphics driver.', acceleration];
    if (/Linux/.test(agent)) {
      steps.push('On Linux, enable “Unsafe WebGPU Support” and “Vulkan” in chrome://flags and start the browser again.');
    }
    return [...steps, 'chrome://gpu tells why an adapter is blocked.'];
  }
  if (/Safari\//.test(agent)) return ['Safari has WebGPU since version 26: update macOS or Safari.'];
  return ['Use a current Chrome, Edge, Firefox or Safari with graphics acceleration turned on.'];
}
