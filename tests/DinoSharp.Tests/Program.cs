// The test program: `golden [FOLDER]` runs only the golden cases and prints a line for each, `report` ends with the totals, `load FILE` says how much memory loading takes, `upsampling FOLDER` what guided upsampling does to borders, `toolbox DATA MODEL…` how good the verbs of the toolbox are; anything else goes to the test runner.

// Test classes run side by side; a second level of threads inside each operation would only make them wait for each other.
TorchSharp.torch.set_num_threads(1);

if (args is ["golden", .. string[] folders]) return DinoSharp.Tests.Golden.GoldenRunner.RunFolders(folders);
if (args is ["load", string weights]) return DinoSharp.Tests.Weights.LoadingMemoryTests.Measure(weights);
if (args is ["upsampling", string segmentation]) return DinoSharp.Tests.Evaluation.UpsamplingScores.Run(segmentation);
if (args is ["toolbox", string data, .. string[] models]) return DinoSharp.Tests.Evaluation.ToolboxScores.Run(data, models);
if (args is ["report", .. string[] selection]) return await DinoSharp.Tests.TestReport.RunAsync(selection);
if (args is ["readme"])
{
    DinoSharp.Tests.ReadmeExample.Run();
    return 0;
}

// What `dotnet test` and IDEs ask for.
if (args.Any(arg => arg is "--server" or "--internal-msbuild-node"))
    return await Xunit.MicrosoftTestingPlatform.TestPlatformTestFramework.RunAsync(args, DinoSharp.Tests.SelfRegisteredExtensions.AddSelfRegisteredExtensions);
return await Xunit.Runner.InProc.SystemConsole.ConsoleRunner.Run(args);
